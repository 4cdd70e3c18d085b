/** Control connections as sockets: upgrade, WebSocket, yamux and RPC, with limits on their number and the ways to end them. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { runYamux } from "coder-client/control/yamux-websocket";
import { serveRpc } from "coder-protocol/drpc/async";
import { LOST_BY_CLOSE } from "coder-protocol/tailnet/node";
import { YamuxSession } from "coder-protocol/yamux/session";
import { type WebSocket, WebSocketServer } from "ws";
import { DomainError, shuttingDown } from "../base/domain-error.ts";
import type { Logger } from "../base/log.ts";
import { type PlaceLimits, Places } from "../base/places.ts";
import { CLOSE_GOING_AWAY } from "../base/text-sockets.ts";
import { type ConnectionEnd, PING_INTERVAL_MS, watchEnd } from "./connection-end.ts";
import type { ConnectionLog } from "./connection-log.ts";
import { type OpenSocket, OpenSockets, RESTARTING, type Release, type SessionPlan } from "./open-socket.ts";
import { SharedBudgets } from "./shared-budgets.ts";
import type { TailnetServiceDeps } from "./tailnet-service.ts";

/** Stock peers send at most a stream's window, 256 KiB, as one message. An unfinished message waits in memory. */
const MAX_PAYLOAD_BYTES = 256 * 1024 + 1024;
/** Concurrent calls; stock peers have about ten. Each may hold one window of bytes. */
const MAX_STREAMS = 64;
/** Unfinished messages on all connections of one user, including those of the user's agents; the longest message has 4 MiB. */
const UNFINISHED_BYTES_PER_USER = 16 * 1024 * 1024;
/** Two are needed while one replaces the other; more are attempts to use one token twice. */
const MAX_SOCKETS_PER_AGENT = 4;
/** An agent that has answered no ping for this long is gone. */
const AGENT_PING_TIMEOUT_MS = 30_000;
const CLOSE_INTERNAL_ERROR = 1011;
/** No close frame arrived (RFC 6455 §7.4.1). */
const CLOSE_ABNORMAL = 1006;
/** Normal, going away, and a close frame without a code. */
const CLEAN_CLOSES: ReadonlySet<number> = new Set([1000, 1001, 1005]);
const MAX_CLOSE_REASON_BYTES = 123;

export interface ControlSocketsOptions {
  /** Passed to every session's Tailnet service. */
  readonly tailnet: Omit<TailnetServiceDeps, "endedByClose">;
  readonly connectionLog: ConnectionLog;
  readonly limits: { readonly clientSockets: PlaceLimits; readonly agentSockets: PlaceLimits };
  readonly log: Logger;
}

export class ControlSockets {
  readonly open = new OpenSockets();
  /** The share of clients; other kinds of connections may use it instead of their own. */
  readonly clientPlaces: Places;
  readonly #options: ControlSocketsOptions;
  readonly #agentPlaces: Places;
  readonly #upgrades = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_PAYLOAD_BYTES });
  readonly #unfinished = new SharedBudgets(UNFINISHED_BYTES_PER_USER);
  /** The reasons why new connections are refused, by cause. */
  readonly #refusals = new Map<string, () => DomainError>();
  #closing = false;

  constructor(options: ControlSocketsOptions) {
    this.#options = options;
    this.clientPlaces = new Places("control connections", options.limits.clientSockets);
    this.#agentPlaces = new Places("control connections of agents", options.limits.agentSockets);
  }

  /** Refuses new connections for this cause, until it is called with an undefined `refusal`. */
  refuse(cause: string, refusal: (() => DomainError) | undefined): void {
    if (refusal === undefined) this.#refusals.delete(cause);
    else this.#refusals.set(cause, refusal);
  }

  /** Throws the DomainError that refuses new connections, if there is a refusal. */
  throwRefusal(): void {
    if (this.#closing) throw shuttingDown();
    for (const refusal of this.#refusals.values()) throw refusal();
  }

  /**
   * Answers the upgrade and serves the session. Throws DomainError if there is no room.
   * @returns undefined if the handshake failed.
   */
  serve(request: IncomingMessage, socket: Duplex, head: Buffer, session: SessionPlan): OpenSocket | undefined {
    const agentSockets = session.auth.kind === "agent" ? this.open.countOf(session.id) : 0;
    this.throwRefusal();
    if (agentSockets >= MAX_SOCKETS_PER_AGENT)
      throw new DomainError("too-many", "Too many connections with this agent's token are open.");
    const places = session.places ?? (session.auth.kind === "agent" ? this.#agentPlaces : this.clientPlaces);
    places.takeUntilClosed({ userId: session.userId, address: session.address }, socket);
    let open: OpenSocket | undefined;
    this.#upgrades.handleUpgrade(request, socket, head, (webSocket) => {
      open = this.#run(webSocket, session, watchEnd(webSocket, socket));
    });
    return open;
  }

  /** Permanently refuses new connections and ends those that are open. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.release({ reason: RESTARTING, withinMs: 0 });
  }

  /** Ends connections whose peers are expected to return, here or at another server. */
  release(release: Release): Promise<number> {
    return this.open.release(release);
  }

  #run(webSocket: WebSocket, session: SessionPlan, end: ConnectionEnd): OpenSocket {
    const { tailnet, log } = this.#options;
    const yamux = new YamuxSession({
      role: "server",
      maxStreams: MAX_STREAMS,
      pingIntervalMs: session.pingsSocket ? undefined : PING_INTERVAL_MS,
      pingTimeoutMs: session.pingsSocket ? undefined : AGENT_PING_TIMEOUT_MS - PING_INTERVAL_MS,
    });
    const unfinished = this.#unfinished.of(session.userId);
    const over = new AbortController();
    serveRpc(yamux, session.services({ ...tailnet, endedByClose: () => end.byClose }, over.signal), {
      budget: unfinished.budget,
      onError: (error, path) => log.error({ err: error, rpc: path }, "rpc failed"),
    });
    let closeCode = CLOSE_ABNORMAL;
    webSocket.once("close", (code) => {
      closeCode = code;
    });
    const running = runYamux(webSocket, yamux);
    const pings = session.pingsSocket ? setInterval(() => webSocket.ping(), PING_INTERVAL_MS) : undefined;
    let endedFor: string | undefined;
    const open: OpenSocket = {
      id: session.id,
      address: session.address,
      auth: session.auth,
      onlyAgent: session.onlyAgent,
      over: over.signal,
      end: (reason) => {
        endedFor ??= reason;
        tailnet.coordinator.expel(session.id, reason, tailnet.now());
        webSocket.close(CLOSE_INTERNAL_ERROR, Buffer.from(reason).subarray(0, MAX_CLOSE_REASON_BYTES));
        running.close();
      },
      release: (reason, error) => {
        endedFor ??= reason;
        tailnet.coordinator.release(session.id, error);
        // What the coordinator has just sent must leave first.
        setImmediate(() => {
          webSocket.close(CLOSE_GOING_AWAY, reason);
          running.close();
        });
      },
      closed: running.closed.then(async (failure) => {
        clearInterval(pings);
        over.abort();
        const detail = end.byClose ? LOST_BY_CLOSE : (failure?.message ?? "closed");
        this.#options.connectionLog.clientEnded(session, endedFor, CLEAN_CLOSES.has(closeCode) ? undefined : detail);
        unfinished.leave();
        this.open.delete(open);
        try {
          await session.onClosed?.(this.open.countOf(session.id) === 0);
        } catch (error) {
          log.error({ err: error }, "end of a session not stored");
        }
      }),
    };
    this.open.add(open);
    return open;
  }
}
