/** Requests of the server to an agent's HTTP API, with the credentials of the requesting user. */
import { type Agent, request as httpRequest } from "node:http";
import { LOWEST_APP_PORT } from "coder-protocol/app-addresses";
import { type ListeningPortsResponse, listeningPortsResponse } from "coder-protocol/rest/agents";
import {
  type AgentCapabilities,
  agentCapabilities,
  type TerminalsResponse,
  terminalsResponse,
} from "coder-protocol/rest/terminals";
import { z } from "zod";
import type { Logger } from "../base/log.ts";
import { textOf } from "../base/text-of.ts";
import { type AgentDialer, type AgentHttpTunnels, exchangeOver, exchangeWithAgent } from "./agent-exchange.ts";
import type { TunnelRequest } from "./agent-tunnels.ts";

const ANSWER_TIMEOUT_MS = 2_000;
const KEEP_ANSWER_MS = 1_000;
/** Longer than other requests, because the agent measures before it answers. */
const NETCHECK_TIMEOUT_MS = 15_000;
const KEEP_NETCHECK_MS = 30_000;
const MAX_ANSWER_BYTES = 256 * 1024;
const STOCK: AgentCapabilities = { terminal_framing: 0, terminals: 0, files: 0 };

export class AgentHttp {
  readonly #tunnels: AgentHttpTunnels;
  readonly #log: Logger;
  readonly #netchecks = new Map<string, Promise<Readonly<Record<string, unknown>> | undefined>>();
  readonly #listeningPorts = new Map<string, Promise<ListeningPortsResponse>>();
  /** One entry per tunnel. */
  readonly #capabilities = new WeakMap<AgentDialer, AgentCapabilities>();

  constructor(tunnels: AgentHttpTunnels, log: Logger) {
    this.#tunnels = tunnels;
    this.#log = log;
  }

  /**
   * The ports on which programs of the workspace listen; empty if the agent cannot be asked. The caller must have checked the
   * user's right, because the result is reused for a second for all users.
   * @param probed Ports to which the agent connects to detect the protocol of the program.
   */
  async listeningPorts(request: TunnelRequest, probed: readonly number[] = []): Promise<ListeningPortsResponse> {
    const key = `${request.agentId} ${probed.join(" ")}`;
    const kept = this.#listeningPorts.get(key);
    if (kept !== undefined) return await kept;
    const asked = this.#askListeningPorts(request, probed).catch((error: unknown): ListeningPortsResponse => {
      this.#log.debug({ err: error, agent: request.agentId }, "asking the agent for its listening ports failed");
      return { ports: [] };
    });
    this.#listeningPorts.set(key, asked);
    void asked.then(() => setTimeout(() => this.#listeningPorts.delete(key), KEEP_ANSWER_MS).unref());
    return await asked;
  }

  /**
   * The capabilities of the agent at the end of a tunnel, requested once per tunnel. A stock agent answers 404. Rejects if the
   * agent does not answer.
   */
  async capabilities(connection: AgentDialer): Promise<AgentCapabilities> {
    const known = this.#capabilities.get(connection);
    if (known !== undefined) return known;
    const { status, text } = await exchangeOver(connection, (agent) => ask(agent, "GET", "/api/v0/capabilities"));
    if (status !== 200 && status !== 404) throw new Error(`the agent answered ${status}`);
    const found = status === 200 ? agentCapabilities.parse(JSON.parse(text)) : STOCK;
    this.#capabilities.set(connection, found);
    return found;
  }

  /** Forgets the capabilities, because they no longer apply, for example after another version of the agent was started. */
  forgetCapabilities(connection: AgentDialer): void {
    this.#capabilities.delete(connection);
  }

  /** Terminals with the ids of their owners. */
  async terminals(request: TunnelRequest): Promise<TerminalsResponse> {
    const { status, text } = await this.#ask(request, "GET", "/api/v0/terminals");
    if (status === 404) return { terminals: [], supported: false };
    if (status !== 200) throw new Error(`the agent answered ${status}`);
    return { ...terminalsResponse.parse(JSON.parse(text)), supported: true };
  }

  /** @returns whether there was such a terminal. */
  async endTerminal(request: TunnelRequest, id: string): Promise<boolean> {
    return this.#changed(await this.#ask(request, "DELETE", `/api/v0/terminals/${id}`));
  }

  /** @returns whether there is such a terminal. */
  async renameTerminal(request: TunnelRequest, id: string, title: string): Promise<boolean> {
    return this.#changed(await this.#ask(request, "PATCH", `/api/v0/terminals/${id}`, JSON.stringify({ title })));
  }

  #changed({ status }: Answer): boolean {
    if (status === 200) return true;
    // Stock agents do not have this route.
    if (status === 404 || status === 405) return false;
    throw new Error(`the agent answered ${status}`);
  }

  /**
   * The result of the agent's own network check; undefined if the agent cannot be asked. The caller must have checked the user's
   * right, because the result is reused for half a minute for all users.
   */
  async netcheck(request: TunnelRequest): Promise<Readonly<Record<string, unknown>> | undefined> {
    const kept = this.#netchecks.get(request.agentId);
    if (kept !== undefined) return await kept;
    const asked = this.#askNetcheck(request).catch((error: unknown) => {
      this.#log.debug({ err: error, agent: request.agentId }, "asking the agent about its network failed");
      return undefined;
    });
    this.#netchecks.set(request.agentId, asked);
    void asked.then((found) => {
      const keepMs = found === undefined ? KEEP_ANSWER_MS : KEEP_NETCHECK_MS;
      setTimeout(() => this.#netchecks.delete(request.agentId), keepMs).unref();
    });
    return await asked;
  }

  async #askNetcheck(request: TunnelRequest): Promise<Readonly<Record<string, unknown>>> {
    const { status, text } = await exchangeWithAgent(this.#tunnels, request, (agent) =>
      ask(agent, "GET", "/api/v0/netcheck", "", NETCHECK_TIMEOUT_MS),
    );
    if (status !== 200) throw new Error(`the agent answered ${status}`);
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  }

  async #askListeningPorts(request: TunnelRequest, probed: readonly number[]): Promise<ListeningPortsResponse> {
    const query = new URLSearchParams(probed.map((port) => ["probe", String(port)]));
    const path = `/api/v0/listening-ports${probed.length === 0 ? "" : `?${query}`}`;
    const { status, text } = await this.#ask(request, "GET", path);
    if (status !== 200) throw new Error(`the agent answered ${status}`);
    const { ports } = listeningPortsResponse.parse(JSON.parse(text));
    return { ports: ports.filter(({ port }) => port >= LOWEST_APP_PORT && port <= 65_535) };
  }

  #ask(request: TunnelRequest, method: string, path: string, body = ""): Promise<Answer> {
    return exchangeWithAgent(this.#tunnels, request, (agent) => ask(agent, method, path, body));
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Redirects are not followed; they are returned like any other answer. */
function ask(agent: Agent, method: string, path: string, body = "", timeoutMs = ANSWER_TIMEOUT_MS): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      agent,
      method,
      path,
      host: "agent",
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (body !== "") request.setHeader("Content-Length", Buffer.byteLength(body));
    request.on("error", reject);
    request.on("response", (response) => {
      textOf(response, MAX_ANSWER_BYTES).then((text) => resolve({ status: response.statusCode ?? 0, text }), reject);
    });
    request.end(body);
  });
}
