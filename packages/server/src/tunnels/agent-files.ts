/** File transfers to and from a workspace, streamed through the server with the credentials of the requesting user. */
import { type Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { finished, type Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { textOf } from "../base/text-of.ts";
import { type AgentHttpTunnels, exchangeWithAgent } from "./agent-exchange.ts";
import type { TunnelRequest } from "./agent-tunnels.ts";

const MAX_ANSWER_BYTES = 64 * 1024;
/** Maximum time without a byte in either direction. */
const STALL_MS = 60_000;

export interface FileAnswer {
  readonly status: number;
  readonly text: string;
}

export class AgentFiles {
  readonly #tunnels: AgentHttpTunnels;

  constructor(tunnels: AgentHttpTunnels) {
    this.#tunnels = tunnels;
  }

  /**
   * The body is read only once the agent accepts the file. Rejects if the connection to the agent or the body breaks off; the
   * agent then removes what has arrived.
   */
  async upload(request: TunnelRequest, query: URLSearchParams, body: Readable, length?: number): Promise<FileAnswer> {
    return await exchangeWithAgent(this.#tunnels, request, async (agent) => {
      const headers: Record<string, string | number> = { Expect: "100-continue" };
      if (length !== undefined) headers["Content-Length"] = length;
      const put = send(agent, "PUT", query, headers);
      const stall = new StallLimit(put);
      try {
        const answered = answerTo(put);
        put.flushHeaders();
        const begun = await Promise.race([continued(put), answered]);
        if (begun === "continue") {
          body.on("data", stall.refresh);
          body.pipe(put);
        }
        // An agent whose disk is full answers in the middle of the body.
        const response = await Promise.race([answered, brokenOff(body)]);
        return { status: response.statusCode ?? 0, text: await textOf(response, MAX_ANSWER_BYTES) };
      } finally {
        body.off("data", stall.refresh).unpipe(put);
        stall.stop();
        put.destroy();
      }
    });
  }

  /**
   * @param begin Receives the size, if known, and returns the destination of the content.
   * @returns the agent's answer, if it is not the file.
   */
  async download(
    request: TunnelRequest,
    query: URLSearchParams,
    begin: (length: number | undefined) => Writable,
  ): Promise<FileAnswer | undefined> {
    return await this.#get(request, query, async (response, stall) => {
      const length = response.headers["content-length"];
      response.on("data", stall.refresh);
      await pipeline(response, begin(length === undefined ? undefined : Number(length)));
    });
  }

  /**
   * Requests a file without its content. Agents have no route for that, so the transfer is ended after its head.
   * @returns the agent's answer, if it is not the file.
   */
  async check(request: TunnelRequest, query: URLSearchParams): Promise<FileAnswer | undefined> {
    return await this.#get(request, query, async (response) => {
      response.destroy();
    });
  }

  /** @param use Receives the file; content that it does not read is not transferred. */
  async #get(
    request: TunnelRequest,
    query: URLSearchParams,
    use: (file: IncomingMessage, stall: StallLimit) => Promise<void>,
  ): Promise<FileAnswer | undefined> {
    return await exchangeWithAgent(this.#tunnels, request, async (agent) => {
      const get = send(agent, "GET", query, {});
      const stall = new StallLimit(get);
      try {
        const answered = answerTo(get);
        get.end();
        const response = await answered;
        if (response.statusCode !== 200)
          return { status: response.statusCode ?? 0, text: await textOf(response, MAX_ANSWER_BYTES) };
        await use(response, stall);
        return undefined;
      } finally {
        stall.stop();
      }
    });
  }
}

function send(
  agent: Agent,
  method: string,
  query: URLSearchParams,
  headers: Record<string, string | number>,
): ClientRequest {
  return httpRequest({ agent, method, path: `/api/v0/files?${query}`, host: "agent", headers });
}

/** Ends an exchange that makes no progress. */
class StallLimit {
  readonly #timer: NodeJS.Timeout;

  constructor(request: ClientRequest) {
    this.#timer = setTimeout(
      () => request.destroy(new Error("no byte of the file passed for 60 seconds")),
      STALL_MS,
    ).unref();
  }

  readonly refresh = (): void => void this.#timer.refresh();

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function continued(request: ClientRequest): Promise<"continue"> {
  return new Promise((resolve) => {
    request.once("continue", () => resolve("continue"));
  });
}

/** Rejects if the body ends prematurely. */
function brokenOff(body: Readable): Promise<never> {
  return new Promise((_resolve, reject) => {
    finished(body, { writable: false }, (error) => {
      if (error) reject(error);
    });
  });
}

function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
    request.on("error", () => undefined); // a second error adds nothing
  });
}
