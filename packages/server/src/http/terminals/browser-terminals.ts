/**
 * The browser's terminal: GET /workspaceagents/{id}/pty as a WebSocket, bridged to the reconnecting terminal of the agent
 * (port 2 of its tunnel).
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { PathRef } from "coder-client/node/path-report";
import { BUILD_VERSION_HEADER } from "coder-protocol/rest/common";
import type { TerminalEvent } from "coder-protocol/terminal/events";
import { TERMINAL_PORT } from "coder-protocol/tunnel-ports";
import { type WebSocket, WebSocketServer } from "ws";
import type { AccessHolder } from "../../auth/access-events.ts";
import type { AccessWatch } from "../../auth/access-watch.ts";
import { type Authenticator, holderOf } from "../../auth/authenticator.ts";
import { DomainError, notFound } from "../../base/domain-error.ts";
import type { Logger } from "../../base/log.ts";
import type { OpenStreams } from "../../base/open-streams.ts";
import { type PlaceLimits, Places } from "../../base/places.ts";
import type { UpgradeRoute } from "../../base/routes.ts";
import { CLOSE_GOING_AWAY, CLOSE_POLICY } from "../../base/text-sockets.ts";
import { BUILD_VERSION } from "../../base/version.ts";
import type { AgentHttp } from "../../tunnels/agent-http.ts";
import type { AgentTunnels, Tunnel } from "../../tunnels/agent-tunnels.ts";
import type { ConnectionPolicies } from "../../workspaces/connection-policies.ts";
import { type PtyQuery, readPtyQuery } from "./pty-query.ts";
import { CLOSE_INTERNAL_ERROR, shortened, TerminalBridge } from "./terminal-bridge.ts";
import { TerminalOwners } from "./terminal-owners.ts";

const PATH = /^\/api\/v2\/workspaceagents\/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\/pty$/;
/** One message is one input object; the agent takes no longer ones. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
const PING_EVERY_MS = 15_000;
/** An agent that is silent for this long while data waits is gone. */
const AGENT_TIMEOUT_MS = 60_000;

export interface BrowserTerminalsOptions {
  readonly authenticator: Authenticator;
  readonly access: AccessWatch;
  readonly connectionPolicies: Pick<ConnectionPolicies, "terminalRefusal">;
  readonly tunnels: AgentTunnels;
  readonly agentHttp: Pick<AgentHttp, "capabilities" | "forgetCapabilities">;
  readonly streams: OpenStreams;
  readonly limits: PlaceLimits;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly log: Logger;
}

/** A page that was let in, and what it wants. */
interface Admitted {
  readonly query: PtyQuery;
  readonly user: { readonly id: string; readonly username: string };
  readonly request: { readonly agentId: string; readonly keyId: string; readonly token: string };
  readonly fresh: boolean;
}

export class BrowserTerminals {
  readonly #options: BrowserTerminalsOptions;
  readonly #places: Places;
  readonly #owners = new TerminalOwners();
  readonly #server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES });

  constructor(options: BrowserTerminalsOptions) {
    this.#options = options;
    this.#places = new Places("terminals", options.limits);
    this.#server.on("headers", (headers) => headers.push(`${BUILD_VERSION_HEADER}: ${BUILD_VERSION}`));
  }

  get route(): UpgradeRoute {
    return {
      name: "terminal",
      match: (url) => PATH.test(url.pathname),
      handle: (request, socket, head) => this.#handle(request, socket, head),
    };
  }

  async #handle(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { authenticator, clientAddress } = this.#options;
    const auth = await authenticator.authenticateUser(request);
    if (auth instanceof DomainError) throw auth;
    const url = new URL(request.url ?? "/", "http://unused");
    const agentId = (PATH.exec(url.pathname)?.[1] ?? "").toLowerCase();
    const agent = await authenticator.canReachAgent(auth.user, agentId);
    if (agent === undefined) throw notFound();
    const refusal = await this.#options.connectionPolicies.terminalRefusal(agent);
    if (refusal !== undefined) throw refusal;
    const query = readPtyQuery(url.searchParams);
    const claim = this.#owners.claim(agentId, query.id, auth.user.id);
    if (claim === "other") throw new DomainError("forbidden", "This terminal belongs to another user");
    this.#places.takeUntilClosed({ userId: auth.user.id, address: clientAddress(request) }, socket);
    const admitted: Admitted = {
      query,
      user: auth.user,
      request: { agentId, keyId: auth.key.id, token: auth.token },
      fresh: claim === "new",
    };
    // ws answers a malformed handshake itself and then never calls back; the socket closes.
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      void this.#serve(webSocket, admitted, holderOf(auth, { agentId }));
    });
  }

  /** A page cannot see why an upgrade was refused: any failure from here on is shown in the terminal or beside it. */
  async #serve(webSocket: WebSocket, admitted: Admitted, holder: AccessHolder): Promise<void> {
    const leaveStreams = this.#options.streams.add({
      end: () => webSocket.close(CLOSE_GOING_AWAY, "server is shutting down"),
      destroy: () => webSocket.terminate(),
    });
    webSocket.on("error", () => undefined); // "close" follows
    const stopWatching = this.#watch(webSocket, holder);
    const closed = new Promise<void>((resolve) => webSocket.once("close", () => resolve()));
    webSocket.pause(); // keystrokes wait for the agent
    try {
      const tunnel = await this.#options.tunnels.acquire(admitted.request);
      try {
        const stopTelling = await this.#bridge(webSocket, tunnel, admitted);
        webSocket.resume();
        await closed;
        stopTelling();
      } finally {
        tunnel.release();
      }
    } catch (error) {
      this.#options.log.info(
        { err: error, agent: admitted.request.agentId },
        "a browser's terminal could not be opened",
      );
      webSocket.resume();
      refuse(webSocket, admitted.query, error instanceof Error ? error.message : String(error));
    }
    await closed;
    stopWatching();
    leaveStreams();
  }

  /** @returns how to stop telling the page about the path. */
  async #bridge(webSocket: WebSocket, { connection }: Tunnel, admitted: Admitted): Promise<() => void> {
    const { agentHttp, log } = this.#options;
    const framed = admitted.query.control && (await agentHttp.capabilities(connection)).terminal_framing >= 1;
    const stream = await connection.dial(TERMINAL_PORT, { userTimeoutMs: AGENT_TIMEOUT_MS });
    const bridge = new TerminalBridge(webSocket, stream, {
      query: admitted.query,
      user: admitted.user,
      fresh: admitted.fresh,
      framed,
      onMisframed: (problem) => {
        agentHttp.forgetCapabilities(connection);
        log.info({ agent: admitted.request.agentId, problem }, "an agent's terminal did not send records");
      },
    });
    const tell = (path: PathRef | undefined): void => {
      if (path !== undefined) bridge.tell(pathEvent(path, connection.pathReport().relayRttMs));
    };
    tell(connection.path);
    return connection.onPathChange(tell);
  }

  /** Ends the socket when the page no longer answers, or its access ends. */
  #watch(webSocket: WebSocket, holder: AccessHolder): () => void {
    let answered = true;
    webSocket.on("pong", () => {
      answered = true;
    });
    const pinging = setInterval(() => {
      // A paused socket receives no pong; it waits for the agent, not for the page.
      if (!answered && !webSocket.isPaused) webSocket.terminate();
      answered = false;
      webSocket.ping();
    }, PING_EVERY_MS);
    pinging.unref();
    const leave = this.#options.access.start(holder, { lost: () => webSocket.close(CLOSE_POLICY, "access ended") });
    return () => {
      clearInterval(pinging);
      leave();
    };
  }
}

function refuse(webSocket: WebSocket, { control }: PtyQuery, reason: string): void {
  if (control) webSocket.send(JSON.stringify({ type: "notice", text: reason } satisfies TerminalEvent));
  else webSocket.send(Buffer.from(`coder: ${reason}\r\n`));
  webSocket.close(CLOSE_INTERNAL_ERROR, shortened(control ? reason : "no connection to the workspace"));
}

function pathEvent(path: PathRef, relayRttMs: number | undefined): TerminalEvent {
  if (path.kind === "direct") return { type: "path", kind: "direct", region: "" };
  const latency = relayRttMs === undefined ? {} : { latency_ms: Math.round(relayRttMs) };
  return { type: "path", kind: "relayed", region: path.region.name, ...latency };
}
