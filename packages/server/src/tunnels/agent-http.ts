/** What the server reads from an agent's HTTP API (port 4 of its tunnel), with the credentials of the user who asks. */
import { Agent } from "node:http";
import type { Duplex } from "node:stream";
import { type ListeningPortsResponse, listeningPortsResponse } from "coder-protocol/rest/agents";
import { HTTP_API_PORT } from "coder-protocol/tunnel-ports";
import type { Logger } from "../base/log.ts";
import { type FetchedText, fetchText } from "../base/outgoing.ts";
import type { Tunnel, TunnelRequest } from "./agent-tunnels.ts";

/** A tunnel is made first when there is none. */
const TUNNEL_TIMEOUT_MS = 8_000;
const ANSWER_TIMEOUT_MS = 2_000;
const KEEP_ANSWER_MS = 1_000;
const MAX_ANSWER_BYTES = 256 * 1024;
/** Below are the services of the agent itself. */
const FIRST_PORT = 9;

export interface AgentHttpTunnels {
  acquire(request: TunnelRequest): Promise<{
    readonly connection: { dial(port: number, options: { signal: AbortSignal }): Promise<Duplex> };
    release: Tunnel["release"];
  }>;
}

export class AgentHttp {
  readonly #tunnels: AgentHttpTunnels;
  readonly #log: Logger;
  readonly #listeningPorts = new Map<string, Promise<ListeningPortsResponse>>();

  constructor(tunnels: AgentHttpTunnels, log: Logger) {
    this.#tunnels = tunnels;
    this.#log = log;
  }

  /**
   * The ports that programs of the workspace listen on; none when the agent cannot be asked. The caller has checked
   * the right to it: for a second, every request gets the same answer.
   */
  async listeningPorts(request: TunnelRequest): Promise<ListeningPortsResponse> {
    const kept = this.#listeningPorts.get(request.agentId);
    if (kept !== undefined) return await kept;
    const asked = this.#askListeningPorts(request).catch((error: unknown): ListeningPortsResponse => {
      this.#log.debug({ err: error, agent: request.agentId }, "the agent was not asked for its listening ports");
      return { ports: [] };
    });
    this.#listeningPorts.set(request.agentId, asked);
    void asked.then(() => setTimeout(() => this.#listeningPorts.delete(request.agentId), KEEP_ANSWER_MS).unref());
    return await asked;
  }

  async #askListeningPorts(request: TunnelRequest): Promise<ListeningPortsResponse> {
    const { status, text } = await this.#get(request, "/api/v0/listening-ports");
    if (status !== 200) throw new Error(`the agent answered ${status}`);
    const { ports } = listeningPortsResponse.parse(JSON.parse(text));
    return { ports: ports.filter(({ port }) => port >= FIRST_PORT && port <= 65_535) };
  }

  /**
   * The connection is made before there is a request, to this agent and this port, and no other is made: whatever the agent
   * answers leads nowhere else.
   */
  async #get(request: TunnelRequest, path: string): Promise<FetchedText> {
    const acquiring = this.#tunnels.acquire(request);
    const limit = AbortSignal.timeout(TUNNEL_TIMEOUT_MS);
    const tunnel = await Promise.race([acquiring, aborted(limit)]).catch((error: unknown) => {
      // One that comes too late serves the next question: a tunnel given back is kept for a while.
      acquiring.then((late) => late.release()).catch(() => undefined); // its failure is the one that is thrown here, or too late
      throw error;
    });
    try {
      const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
      const stream = await tunnel.connection.dial(HTTP_API_PORT, { signal });
      try {
        const once = new OneStream(stream);
        return await fetchText({ agentFor: () => once }, new URL(path, "http://localhost"), {
          signal,
          maxBytes: MAX_ANSWER_BYTES,
        });
      } finally {
        stream.destroy();
      }
    } finally {
      tunnel.release();
    }
  }
}

/** Sends over a stream that is there, once. */
class OneStream extends Agent {
  #stream: Duplex | undefined;

  constructor(stream: Duplex) {
    super({ keepAlive: false });
    this.#stream = stream;
  }

  override createConnection(): Duplex {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream === undefined) throw new Error("no second connection is made to an agent");
    return stream;
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
