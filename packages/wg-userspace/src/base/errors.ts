/** Every reason a core drops a packet. Counted, never thrown. */
export type DropReason =
  | "too-short"
  | "too-long"
  | "malformed"
  | "unknown-type"
  | "bad-mac"
  | "under-load"
  | "rate-limited"
  | "unknown-peer"
  | "unknown-index"
  | "handshake-failed"
  | "handshake-flood"
  | "replayed"
  | "keypair-expired"
  | "bad-tag"
  | "source-not-allowed"
  | "not-for-us"
  | "no-route"
  | "no-keypair"
  | "queue-full"
  | "no-slot"
  | "no-path"
  | "bad-checksum"
  | "unsupported-protocol"
  /** A fragment of a packet that stayed incomplete for too long, or was evicted. */
  | "fragmented"
  | "no-socket"
  | "out-of-window"
  | "ttl-exceeded";

export type DropCounts = Partial<Record<DropReason, number>>;

/** Counts drops by reason. */
export class Drops {
  readonly counts: DropCounts = {};
  count(reason: DropReason): void {
    this.counts[reason] = (this.counts[reason] ?? 0) + 1;
  }
}

/** The closed set of codes with which an operation of the engine can fail. Match on `code`, not on the class. */
export type ErrorCode =
  | "ERR_CLOSED"
  | "ERR_ABORTED"
  | "ERR_TIMEOUT"
  | "ERR_CONNECTION_REFUSED"
  | "ERR_CONNECTION_RESET"
  | "ERR_CONNECTION_TIMEOUT"
  | "ERR_HOST_UNREACHABLE"
  | "ERR_NETWORK_UNREACHABLE"
  | "ERR_ADDRESS_IN_USE"
  | "ERR_ADDRESS_NOT_AVAILABLE"
  | "ERR_PERMISSION_DENIED"
  | "ERR_NAME_NOT_FOUND"
  | "ERR_TLS_UNTRUSTED"
  | "ERR_TLS_NAME_MISMATCH"
  | "ERR_TLS_EXPIRED"
  | "ERR_TLS"
  | "ERR_PROXY_REFUSED"
  | "ERR_RELAY_REFUSED"
  | "ERR_RELAY_PROTOCOL"
  | "ERR_RELAY_GONE"
  | "ERR_NO_PATH"
  | "ERR_NO_PEER"
  | "ERR_HANDSHAKE_TIMEOUT"
  | "ERR_MESSAGE_TOO_LARGE"
  | "ERR_LIMIT"
  | "ERR_INVALID_ARGUMENT"
  | "ERR_PROTOCOL"
  | "ERR_UNSUPPORTED"
  | "ERR_IO";

export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly code: ErrorCode;
  /** Whether a later retry, unchanged, can succeed. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}
