/**
 * What a server of a cluster writes of its own peers, and reads of those of others. Each server is the only writer of its
 * rows and numbers its changes 1, 2, 3 …, so one number per server says what a reader has seen.
 */
import type { PeerEnd } from "../coordinator-records.ts";

export type PeerKind = "agent" | "client";

export interface PeerRow {
  readonly id: string;
  /** Number of the change. */
  readonly rev: number;
  readonly state: "here" | PeerEnd;
  readonly kind: PeerKind;
  /** Database time in ms of the connection: of several rows of one id the greatest counts. */
  readonly session: number;
  readonly key: Uint8Array | undefined;
  /** Of a peer that is here what {@link hereText} makes of it, otherwise why it ended. */
  readonly reason: string;
}

/** The part of a peer row that is read only where it is used: a Node message. */
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

/** Something that happened at a server and that others may have to act on: cluster-events.ts. */
export interface EventRow {
  readonly rev: number;
  readonly kind: string;
  /** JSON. */
  readonly body: string;
}

/** Rows of one server in the order of their numbers. */
export interface Rows {
  readonly peers: readonly PeerRow[];
  readonly tunnels: readonly TunnelRow[];
  readonly signals: readonly SignalRow[];
}

/** A part of all peers and tunnels that the database has of one server. */
export interface WholePage {
  readonly rows: Omit<Rows, "signals">;
  /** Rows that were left out because they are not valid. */
  readonly bad: number;
  /** Number of the last row. */
  readonly seen: number;
  /** With the last page the number of the server's last change, read after the rows; undefined: there is no such server. */
  readonly head: number | "more" | undefined;
}

/** All peers and tunnels that the database has of one server. */
export interface WholeServer extends Omit<Rows, "signals"> {
  readonly head: number;
  /** No row was left out. */
  readonly isComplete: boolean;
}

/** A server as the database shows it. */
export interface ServerRow {
  readonly id: string;
  /** The process, whose servers have one id after the other. */
  readonly replicaId: string;
  /** Number of its last change. */
  readonly head: number;
  /** Since its heartbeat, by the database's clock. */
  readonly ageMs: number;
  /** Since it began to end; undefined: it goes on. */
  readonly drainingMs: number | undefined;
}

/** The session that a client named, and the sealed right to its tunnels. */
export interface HereFacts {
  readonly sessionId?: string | undefined;
  readonly right?: Uint8Array | undefined;
}

/** Session and right with a space between them; releases before it had the session alone. */
export function hereText({ sessionId = "", right }: HereFacts): string {
  return right === undefined ? sessionId : `${sessionId} ${Buffer.from(right).toString("base64url")}`;
}

export function hereFacts(text: string): HereFacts {
  const [sessionId = "", right] = text.split(" ", 2);
  return {
    sessionId: sessionId === "" ? undefined : sessionId,
    right: right === undefined ? undefined : Buffer.from(right, "base64url"),
  };
}
