/**
 * The rows that a server of a cluster writes about its own peers and reads about those of others. Each server is the only writer
 * of its rows and numbers its changes 1, 2, 3 …, so one number per server says what a reader has seen.
 */
import type { PeerEnd } from "../coordinator-records.ts";

export type PeerKind = "agent" | "client";

export interface PeerRow {
  readonly id: string;
  /** Number of the change. */
  readonly rev: number;
  readonly state: "here" | PeerEnd;
  readonly kind: PeerKind;
  /** Database time of the connection in ms. Of several rows with one id, the one with the greatest session is valid. */
  readonly session: number;
  readonly key: Uint8Array | undefined;
  /** For a connected peer the text made by {@link reasonText}; otherwise the reason why it ended. */
  readonly reason: string;
}

/** The part of a peer row that is read only if it is needed: a Node message. */
export interface NodeRow {
  readonly id: string;
  readonly rev: number;
  readonly node: Uint8Array | undefined;
}

export interface TunnelRow {
  readonly from: string;
  readonly to: string;
  readonly rev: number;
  readonly gone: boolean;
}

/** `from` is ready for the handshake with `to`. */
export interface SignalRow {
  readonly from: string;
  readonly to: string;
  readonly rev: number;
}

/** An event at a server that others may have to act on: cluster-events.ts. */
export interface EventRow {
  readonly rev: number;
  readonly kind: string;
  /** JSON. */
  readonly body: string;
}

/** Rows of one server in ascending order of their numbers. */
export interface Rows {
  readonly peers: readonly PeerRow[];
  readonly tunnels: readonly TunnelRow[];
  readonly signals: readonly SignalRow[];
}

/** One part of all peers and tunnels that the database has of one server. */
export interface WholePage {
  readonly rows: Omit<Rows, "signals">;
  /** Rows that were omitted because they are invalid. */
  readonly bad: number;
  /** Number of the last row read. */
  readonly seen: number;
  /** On the last page, the number of the server's last change, read after the rows; undefined if there is no such server. */
  readonly head: number | "more" | undefined;
}

/** All peers and tunnels that the database has of one server. */
export interface WholeServer extends Omit<Rows, "signals"> {
  readonly head: number;
  /** Whether no row was omitted. */
  readonly isComplete: boolean;
}

/** A server as its row describes it. */
export interface ServerRow {
  readonly id: string;
  /** The process. It may run several servers one after the other, each with a new id. */
  readonly replicaId: string;
  /** Number of the server's last change. */
  readonly head: number;
  /** Age of its heartbeat, by the database's clock. */
  readonly ageMs: number;
  /** Time since it began to stop; undefined if it is not stopping. */
  readonly drainingMs: number | undefined;
}

/** The session id that a client announced, and the sealed right to its tunnels. */
export interface ReasonFacts {
  readonly sessionId?: string | undefined;
  readonly right?: Uint8Array | undefined;
}

/** Session id and right, separated by a space; earlier releases wrote only the session id. */
export function reasonText({ sessionId = "", right }: ReasonFacts): string {
  return right === undefined ? sessionId : `${sessionId} ${Buffer.from(right).toString("base64url")}`;
}

export function parseReason(text: string): ReasonFacts {
  const [sessionId = "", right] = text.split(" ", 2);
  return {
    sessionId: sessionId === "" ? undefined : sessionId,
    right: right === undefined ? undefined : Buffer.from(right, "base64url"),
  };
}
