/** What the control plane keeps about its control connections: the purpose of each, and the ways to end it. */
import type { RpcServiceImpl } from "coder-protocol/drpc/async";
import { endGradually, turnsOf } from "../base/gradual-end.ts";
import type { Places } from "../base/places.ts";
import type { PeerAuth } from "./peer-auth.ts";
import type { ResumeHolder } from "./resume-token.ts";
import type { TailnetServiceDeps } from "./tailnet-service.ts";

/** The reason given when connections are released because the server stops. */
export const RESTARTING = "restarting";
export const ACCESS_REVOKED = "access revoked";

export interface SessionPlan {
  readonly id: string;
  readonly auth: PeerAuth;
  /** Set for a client that may reach only one agent. */
  readonly onlyAgent?: string | undefined;
  /** The user to whose share the connection is counted. */
  readonly userId: string;
  readonly address: string;
  /** Default: the places of agents or of clients. */
  readonly places?: Places;
  /** @param over Aborted when the connection ends. */
  readonly services: (deps: TailnetServiceDeps, over: AbortSignal) => RpcServiceImpl[];
  /** Clients are pinged by WebSocket, agents inside yamux. */
  readonly pingsSocket: boolean;
  /**
   * Runs when the connection has ended; the server waits for it before it closes its store.
   * @param isLast Whether no other connection has this id.
   */
  readonly onClosed?: (isLast: boolean) => Promise<void>;
}

/** A client that does not belong to a user. */
export interface KnownClient {
  readonly id: string;
  readonly auth: PeerAuth;
  readonly resume: ResumeHolder;
  readonly places: Places;
}

export interface OpenSocket {
  readonly id: string;
  readonly address: string;
  readonly auth: PeerAuth;
  readonly onlyAgent: string | undefined;
  /** Ends the connection because its right has ended. */
  end(reason: string): void;
  /**
   * Ends the connection because this server stops or cannot serve it: its peer is expected to return. @param error The error with
   * which its Coordinate stream ends, if any.
   */
  release(reason: string, error?: string): void;
  /** Aborted when the connection ends. */
  readonly over: AbortSignal;
  readonly closed: Promise<void>;
}

/** How connections are released: over `withinMs`, and none after `signal` is aborted. */
export interface Release {
  readonly reason: string;
  readonly error?: string;
  readonly withinMs: number;
  readonly signal?: AbortSignal;
}

export class OpenSockets implements Iterable<OpenSocket> {
  readonly #all = new Set<OpenSocket>();
  /** Number of connections with each id: two while one replaces the other. */
  readonly #byId = new Map<string, number>();

  get size(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): Iterator<OpenSocket> {
    return [...this.#all].values();
  }

  add(socket: OpenSocket): void {
    this.#all.add(socket);
    this.#byId.set(socket.id, this.countOf(socket.id) + 1);
  }

  delete(socket: OpenSocket): void {
    if (!this.#all.delete(socket)) return;
    const count = this.countOf(socket.id) - 1;
    if (count === 0) this.#byId.delete(socket.id);
    else this.#byId.set(socket.id, count);
  }

  countOf(id: string): number {
    return this.#byId.get(id) ?? 0;
  }

  /** Ends the connections in random order. Resolves with their number when all are gone, or `signal` is aborted. */
  async release({ reason, error, withinMs, signal }: Release): Promise<number> {
    const sockets = [...this.#all];
    await endGradually(turnsOf(sockets, withinMs, Math.random), (socket) => socket.release(reason, error), signal);
    if (signal?.aborted !== true) await Promise.all(sockets.map(({ closed }) => closed));
    return sockets.length;
  }
}
