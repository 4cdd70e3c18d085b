import type { EngineError } from "../../base/errors.ts";
import type { Instant } from "../../base/instant.ts";
import type { AddrPort } from "../../base/ip.ts";
import type { ChecksumFunction } from "../../base/ports.ts";
import type { SegmentTally } from "../../base/segment-tally.ts";
import type { PacketOutput } from "../packet-output.ts";
import type { ChunkPool } from "./chunk-pool.ts";
import type { TcpDefaults } from "./options.ts";

/** RFC 9293 §3.3.2. LISTEN is a TcpListener. */
export type TcpState =
  | "SYN_SENT"
  | "SYN_RECEIVED"
  | "ESTABLISHED"
  | "FIN_WAIT_1"
  | "FIN_WAIT_2"
  | "CLOSE_WAIT"
  | "CLOSING"
  | "LAST_ACK"
  | "TIME_WAIT"
  | "CLOSED";

/** Called synchronously inside flush(). Every callback may call read, write, end and abort. */
export interface TcpHandler {
  onConnected?(): void;
  /** read() has data. Once per turn, however many segments arrived. */
  onReadable?(): void;
  /** After a partial write(): at least a third of the buffer is free again. */
  onWritable?(): void;
  /** The peer sent FIN and everything was read. */
  onEnd?(): void;
  /** Fully over; undefined means both sides ended in order. The last callback. */
  onClosed?(error: EngineError | undefined): void;
}

/** Figures for status output and tests. */
export interface TcpInfo {
  readonly state: TcpState;
  readonly congestion: string;
  readonly srttMs: number | undefined;
  readonly rttvarMs: number;
  readonly minRttMs: number;
  readonly rtoMs: number;
  readonly cwnd: number;
  readonly ssthresh: number;
  readonly bytesInFlight: number;
  readonly peerWindow: number;
  readonly mss: number;
  readonly recovery: "open" | "recovery" | "loss";
  /** Segments. */
  readonly retransmits: number;
  readonly spuriousRecoveries: number;
  /** How long a segment may be reordered before it counts as lost. */
  readonly reorderWindowMs: number;
  /** Payload bytes sent in order so far (without retransmissions) and received in order. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly sendBuffer: { readonly limit: number; readonly used: number; readonly memory: number };
  readonly receiveBuffer: { readonly limit: number; readonly used: number; readonly memory: number };
}

/** Counts the requests and handshakes that a listener has taken on. */
export interface OpenCount {
  pending: number;
}

/** What a connection uses of the stack. */
export interface TcpHost<Connection> {
  readonly output: PacketOutput;
  readonly checksum: ChecksumFunction;
  readonly tcp: TcpDefaults;
  readonly chunks: ChunkPool;
  /** Largest packet the path to this address carries, and the largest we can receive. */
  pathMtu(remote: AddrPort): number;
  readonly receiveMtu: number;
  /** Where the fate of segments to this address is counted. */
  tallyOf(remote: AddrPort): SegmentTally;
  /** transmit() has something to do. */
  markReady(connection: Connection): void;
  /** deliverEvents() has something to do. */
  markEvents(connection: Connection): void;
  /** RFC 5961 §7: whether one more challenge ACK may be sent now. */
  mayChallenge(now: Instant): boolean;
  /** The handshake ended, well or not. */
  handshakeOver(connection: Connection): void;
  /** The connection entered TIME-WAIT, or left the table. */
  timeWait(connection: Connection): void;
  removed(connection: Connection): void;
}

/** The options of the SYN of a passive open. */
export interface PassiveOpen {
  readonly irs: number;
  readonly window: number;
  readonly mss: number;
  readonly windowScale: number;
  readonly sackPermitted: boolean;
  readonly hasTimestamps: boolean;
  readonly tsValue: number;
}
