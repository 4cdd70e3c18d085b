import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { Backoff, sleep } from "coder-client/base/backoff";
import type { AcceptConnection, Client } from "ssh2";
import { onAbort } from "wg-userspace/async/abort";
import type { Logger } from "wg-userspace/base/ports";
import type { SshLink } from "../connection/ssh-client.ts";
import { UserError } from "../errors/user-error.ts";
import { type ForwardSpec, formatEnd } from "./spec.ts";
import { joined, reasonOf } from "./tcp-forward.ts";

export interface ReverseForwardsOptions {
  /** Where the workspace listens, and where its connections go from this machine. */
  readonly specs: readonly ForwardSpec[];
  readonly link: SshLink;
  readonly say: (line: string) => void;
  readonly logger: Logger;
}

/** Makes the workspace listen, passes its connections to this machine, and asks again after the connection was lost. */
export class ReverseForwards {
  readonly #options: ReverseForwardsOptions;
  readonly #byPort: ReadonlyMap<number, ForwardSpec>;

  constructor(options: ReverseForwardsOptions) {
    this.#options = options;
    this.#byPort = new Map(options.specs.map((spec) => [spec.port, spec]));
  }

  /** Requests all of them. Rejects with a UserError that names the refused one. */
  async start(signal: AbortSignal): Promise<void> {
    const client = await this.#request(signal);
    void this.#keep(client, signal);
  }

  async #keep(first: Client, signal: AbortSignal): Promise<void> {
    const { say, logger } = this.#options;
    let client = first;
    for (;;) {
      await closed(client, signal);
      if (signal.aborted) return;
      const backoff = new Backoff({ firstMs: 250, limitMs: 5_000 });
      for (let reported = false; ; ) {
        try {
          client = await this.#request(signal);
          break;
        } catch (error) {
          if (signal.aborted) return;
          if (!reported && error instanceof UserError && error.code === "ERR_REVERSE_REFUSED") {
            say(`${error.message}${error.why === undefined ? "" : `: ${error.why}`}; trying again`);
            reported = true;
          } else logger.log("debug", "reverse forwards are not back yet", { error: String(error) });
        }
        if ((await sleep(backoff.next(), signal).catch(() => "aborted")) === "aborted") return;
      }
      say("Reverse forwards are back");
    }
  }

  async #request(signal: AbortSignal): Promise<Client> {
    const client = await this.#options.link.client(signal);
    client.on("tcp connection", (details, accept) => void this.#relay(this.#byPort.get(details.destPort), accept));
    for (const { bind, port } of this.#options.specs) {
      await new Promise<void>((resolve, reject) => {
        client.forwardIn(bind ?? "localhost", port, (error) => {
          if (error === undefined || error === null) resolve();
          else {
            client.end();
            reject(
              new UserError(`The workspace cannot listen on ${formatEnd("tcp", bind ?? "127.0.0.1", port)}`, {
                why: "another program uses the port, or its agent does not allow it",
                code: "ERR_REVERSE_REFUSED",
                cause: error,
              }),
            );
          }
        });
      });
    }
    return client;
  }

  async #relay(spec: ForwardSpec | undefined, accept: AcceptConnection): Promise<void> {
    const channel = accept();
    if (spec === undefined) {
      channel.close();
      return;
    }
    const { host = "127.0.0.1", port } = spec.target;
    const socket = connectSocket({ host, port, allowHalfOpen: true, noDelay: true });
    try {
      await once(socket, "connect");
    } catch (error) {
      this.#options.say(`Cannot connect to ${formatEnd("tcp", host, port)} on this machine: ${reasonOf(error)}`);
      channel.close();
      return;
    }
    await joined(socket, channel).catch((error: unknown) => {
      this.#options.logger.log("debug", "reverse connection ended", { port: spec.port, error: String(error) });
    });
    socket.destroy();
    channel.close();
  }
}

/** Resolves when the connection ends, for whatever reason, or the signal aborts. */
function closed(client: Client, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const stopWatching = onAbort(signal, resolve);
    client.once("close", () => {
      stopWatching();
      resolve();
    });
  });
}
