/**
 * WebSockets of admitted browser terminals: each is bridged through a tunnel to the reconnecting terminal of the agent (port 2 of
 * its tunnel), until either side or the right to it ends.
 */

import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { PathRef } from "coder-client/node/path-report";
import { BUILD_VERSION_HEADER } from "coder-protocol/rest/common";
import type { TerminalEvent } from "coder-protocol/terminal/events";
import { TERMINAL_PORT } from "coder-protocol/tunnel-ports";
import { onAbort } from "wg-userspace/async/abort";
import { type WebSocket, WebSocketServer } from "ws";
import type { Logger } from "../../base/log.ts";
import type { OpenStreams } from "../../base/open-streams.ts";
import { CLOSE_GOING_AWAY, CLOSE_POLICY } from "../../base/text-sockets.ts";
import { BUILD_VERSION } from "../../base/version.ts";
import type { AgentHttp } from "../../tunnels/agent-http.ts";
import type { AgentTunnels, Tunnel, TunnelRequest } from "../../tunnels/agent-tunnels.ts";
import type { PtyQuery } from "./pty-query.ts";
import { CLOSE_INTERNAL_ERROR, shortened, TerminalBridge } from "./terminal-bridge.ts";

/** The path of an agent's terminal; its first group is the agent's id. */
export const TERMINAL_PATH =
  /^\/api\/v2\/workspaceagents\/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\/pty$/;
/** One message is one input object, and the agent accepts none that is longer. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
const PING_EVERY_MS = 15_000;
/** How long a page whose right has ended may take to answer the close frame (RFC 6455 §7.1.1). */
const CLOSE_ANSWER_MS = 1_000;
/** An agent that is silent for this long while data is waiting is gone. */
const AGENT_TIMEOUT_MS = 60_000;

export interface TerminalSocketsOptions {
  readonly tunnels: Pick<AgentTunnels, "acquire">;
  readonly agentHttp: Pick<AgentHttp, "capabilities" | "forgetCapabilities">;
  readonly streams: OpenStreams;
  /** Why a terminal could not be opened, in the words shown on its page; absent: the text of the error. */
  readonly reasonOf?: (error: unknown) => string;
  readonly log: Logger;
}

/** A page that was admitted, and what it requested. */
export interface AdmittedTerminal {
  readonly query: PtyQuery;
  readonly user: { readonly id: string; readonly username: string };
  readonly request: TunnelRequest;
  /** Whether this server has not seen the terminal before. */
  readonly fresh: boolean;
  /** Calls back with the reason when the right ends. Returns a function that stops the watch. */
  readonly watch: (end: (reason: string) => void) => () => void;
}

export class TerminalSockets {
  readonly #options: TerminalSocketsOptions;
  readonly #server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES });

  constructor(options: TerminalSocketsOptions) {
    this.#options = options;
    this.#server.on("headers", (headers) => headers.push(`${BUILD_VERSION_HEADER}: ${BUILD_VERSION}`));
  }

  /** Completes the upgrade. */
  open(request: IncomingMessage, socket: Duplex, head: Buffer, admitted: AdmittedTerminal): void {
    // ws itself answers a malformed handshake and then never calls back; the socket closes.
    this.#server.handleUpgrade(request, socket, head, (webSocket) => void this.#serve(webSocket, admitted));
  }

  /** A page cannot see why an upgrade was refused, so any failure from here on is shown in the terminal or beside it. */
  async #serve(webSocket: WebSocket, admitted: AdmittedTerminal): Promise<void> {
    const leaveStreams = this.#options.streams.add({
      end: () => webSocket.close(CLOSE_GOING_AWAY, "server is shutting down"),
      destroy: () => webSocket.terminate(),
    });
    webSocket.on("error", () => undefined); // "close" follows
    const stopPinging = keepAsking(webSocket);
    const over = new AbortController();
    let giveUp: NodeJS.Timeout | undefined;
    const stopWatching = admitted.watch((reason) => {
      webSocket.close(CLOSE_POLICY, shortened(reason));
      over.abort();
      giveUp ??= setTimeout(() => webSocket.terminate(), CLOSE_ANSWER_MS).unref();
    });
    const closed = new Promise<void>((resolve) => webSocket.once("close", () => resolve()));
    webSocket.pause(); // Keystrokes wait until the agent is connected.
    try {
      const tunnel = await this.#options.tunnels.acquire(admitted.request);
      try {
        const stopReporting = await this.#bridge(webSocket, tunnel, admitted, over.signal);
        webSocket.resume();
        await closed;
        stopReporting();
      } finally {
        tunnel.release();
      }
    } catch (error) {
      this.#options.log.info(
        { err: error, agent: admitted.request.agentId },
        "a browser's terminal could not be opened",
      );
      webSocket.resume();
      refuse(webSocket, admitted.query, (this.#options.reasonOf ?? messageOf)(error));
    }
    await closed;
    clearTimeout(giveUp);
    stopPinging();
    stopWatching();
    leaveStreams();
  }

  /**
   * Nothing is sent to the agent once the page or its right has ended.
   * @param over Aborted when the right ends.
   * @returns a function that stops the events about the path to the page.
   */
  async #bridge(
    webSocket: WebSocket,
    { connection }: Tunnel,
    admitted: AdmittedTerminal,
    over: AbortSignal,
  ): Promise<() => void> {
    const { agentHttp, log } = this.#options;
    const isOpen = (): boolean => webSocket.readyState === webSocket.OPEN;
    if (!isOpen()) return () => undefined;
    const framed = admitted.query.control && (await agentHttp.capabilities(connection)).terminal_framing >= 1;
    if (!isOpen()) return () => undefined;
    const stream = await connection.dial(TERMINAL_PORT, { userTimeoutMs: AGENT_TIMEOUT_MS });
    onAbort(over, () => stream.destroy());
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
}

/** Ends the socket when the page no longer answers pings. Returns a function that stops this. */
function keepAsking(webSocket: WebSocket): () => void {
  let answered = true;
  webSocket.on("pong", () => {
    answered = true;
  });
  const pinging = setInterval(() => {
    if (!answered && !webSocket.isPaused) return webSocket.terminate();
    // A paused socket receives no pong, because the agent and not the page is being waited for. Pongs that wait are read later.
    answered = webSocket.isPaused;
    webSocket.ping();
  }, PING_EVERY_MS);
  pinging.unref();
  return () => clearInterval(pinging);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function refuse(webSocket: WebSocket, { control }: PtyQuery, reason: string): void {
  if (control) webSocket.send(JSON.stringify({ type: "notice", text: reason } satisfies TerminalEvent));
  else webSocket.send(Buffer.from(`coder: ${reason}\r\n`));
  webSocket.close(CLOSE_INTERNAL_ERROR, shortened(control ? reason : "no connection to the workspace"));
}

function pathEvent(path: PathRef, relayRttMs: number | undefined): TerminalEvent {
  if (path.kind === "direct") return { type: "path", kind: "direct", region: "" };
  const latency_ms = relayRttMs === undefined ? undefined : Math.round(relayRttMs);
  return { type: "path", kind: "relayed", region: path.region.name, latency_ms };
}
