import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { BUILD_VERSION_HEADER } from "coder-protocol/rest/common";
import { BUILD_VERSION } from "../base/version.ts";
import { HttpFailure } from "./failure.ts";
import type { Door } from "./listeners.ts";
import { rejectUpgrade } from "./reject-upgrade.ts";

/** What a server that has no store yet is waiting for; the text of /readyz. */
export type StartupState = "waiting for the database" | "migrating";

/**
 * Answers while the server waits for its database. It reports healthy, so that it is not killed during a long migration, and not
 * ready, so that balancers send it no requests.
 */
export class StartupHandler implements Door {
  state: StartupState = "waiting for the database";

  request(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const path = (request.url ?? "").split("?", 1)[0];
    if (path === "/healthz") this.#answer(response, 200, "text/plain; charset=utf-8", "OK");
    else if (path === "/readyz") this.#answer(response, 503, "text/plain; charset=utf-8", this.state);
    else this.#answer(response, 503, "application/json; charset=utf-8", `${JSON.stringify(starting().body)}\n`);
  }

  upgrades(): boolean {
    return true;
  }

  upgrade(_request: IncomingMessage, socket: Duplex): void {
    // Without a listener, an error on the socket, such as a reset, would end the process.
    socket.on("error", () => socket.destroy());
    rejectUpgrade(socket, starting());
  }

  startClosing(): void {
    // Nothing open outlives its answer.
  }

  destroyUpgraded(): void {
    // Every upgrade was refused.
  }

  #answer(response: ServerResponse, status: number, type: string, body: string): void {
    if (status === 503) response.setHeader("Retry-After", "1");
    response.writeHead(status, {
      "Content-Type": type,
      "Content-Length": Buffer.byteLength(body),
      Connection: "close",
      "Cache-Control": "no-store",
      [BUILD_VERSION_HEADER]: BUILD_VERSION,
    });
    response.end(body);
  }
}

function starting(): HttpFailure {
  return new HttpFailure(503, "The server is starting.", { headers: { "Retry-After": "1" } });
}
