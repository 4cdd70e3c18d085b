/** Initial parameters of a connection. Everything in ms and bytes; see docs/protocols/netstack.md for the reasons. */
export interface TcpDefaults {
  /** Receive window before auto-tuning grows it. Memory is allocated only for data that arrived. */
  initialReceiveBufferBytes: number;
  maxReceiveBufferBytes: number;
  initialSendBufferBytes: number;
  maxSendBufferBytes: number;
  /**
   * Retransmissions continue at least this often, however long the outage (the cap of RFC 6298 (2.5) is 60 s or more).
   */
  maxRtoMs: number;
  delayedAckMs: number;
  timeWaitMs: number;
  /** Connections in TIME-WAIT; beyond it the oldest is forgotten. */
  maxTimeWait: number;
  /** The connection fails when nothing was acknowledged for this long (RFC 5482). */
  userTimeoutMs: number;
  connectTimeoutMs: number;
  /** 0 disables keepalive. */
  keepaliveIdleMs: number;
  keepaliveIntervalMs: number;
  keepaliveCount: number;
  /** How long a TcpRequest waits for accept() or reject(). */
  requestTimeoutMs: number;
  /** Undecided requests plus connections not yet ESTABLISHED, per listener and for the fallback. */
  backlog: number;
  /** `cubic-strict` is RFC 9438 without tolerance of random loss. */
  congestion: "cubic" | "cubic-strict" | "reno";
  timestamps: boolean;
  sack: boolean;
  windowScaling: boolean;
}

const HOUR_MS = 3_600_000;

export const TCP_DEFAULTS: TcpDefaults = {
  initialReceiveBufferBytes: 512 * 1024,
  maxReceiveBufferBytes: 16 * 1024 * 1024,
  initialSendBufferBytes: 256 * 1024,
  maxSendBufferBytes: 16 * 1024 * 1024,
  maxRtoMs: 10_000,
  delayedAckMs: 40,
  timeWaitMs: 10_000,
  maxTimeWait: 1024,
  userTimeoutMs: 72 * HOUR_MS,
  connectTimeoutMs: 30_000,
  keepaliveIdleMs: 0,
  keepaliveIntervalMs: 75_000,
  keepaliveCount: 9,
  requestTimeoutMs: 10_000,
  backlog: 128,
  congestion: "cubic",
  timestamps: true,
  sack: true,
  windowScaling: true,
};

/** Per connection; omitted options come from the stack's defaults. */
export interface TcpOptions {
  /** 0 disables keepalive. */
  keepaliveIdleMs?: number;
  keepaliveIntervalMs?: number;
  keepaliveCount?: number;
  userTimeoutMs?: number;
  connectTimeoutMs?: number;
  maxSendBufferBytes?: number;
  maxReceiveBufferBytes?: number;
  /** Default true: small writes are sent at once. False: Nagle's algorithm (RFC 9293 §3.7.4). */
  noDelay?: boolean;
}
