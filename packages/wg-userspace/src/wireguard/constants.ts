/** Sizes and times under their names in the WireGuard whitepaper (§5.4, §6). Times in milliseconds, sizes in bytes. */

export const REKEY_AFTER_TIME = 120_000;
export const REJECT_AFTER_TIME = 180_000;
export const REKEY_ATTEMPT_TIME = 90_000;
export const REKEY_TIMEOUT = 5_000;
export const KEEPALIVE_TIMEOUT = 10_000;
export const COOKIE_REFRESH_TIME = 120_000;

export const REKEY_AFTER_MESSAGES = 2 ** 60;
/**
 * The specification allows 2^64 - 2^13 - 1. The counters we send are JavaScript numbers, exact up to 2^53 - 1, which is
 * the smaller limit and the effective one. At ten million packets per second it lasts 28 years.
 */
export const REJECT_AFTER_MESSAGES = Number.MAX_SAFE_INTEGER;

/** Jitter added to REKEY_TIMEOUT, so that two peers that start together do not keep colliding. */
export const REKEY_TIMEOUT_JITTER = 334;
/** Timer-driven retries of an initiation before the handshake fails. */
export const MAX_TIMER_HANDSHAKES = REKEY_ATTEMPT_TIME / REKEY_TIMEOUT;
/** Once per session, a receiving initiator renews a keypair that is about to expire. */
export const REKEY_BEFORE_REJECT_AGE = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;
/** Without a new session for this long all key material is wiped. */
export const ZERO_KEY_MATERIAL_AFTER = 3 * REJECT_AFTER_TIME;
/** Initiations of one peer at shorter intervals than this are refused. */
export const HANDSHAKE_INITIATION_INTERVAL = 20;
/** How long load is assumed to last after it was last detected. */
export const UNDER_LOAD_AFTER_TIME = 1_000;

export const PADDING_MULTIPLE = 16;
export const KEY_LENGTH = 32;
export const TAG_LENGTH = 16;
export const MAC_LENGTH = 16;
export const COOKIE_NONCE_LENGTH = 24;
export const TIMESTAMP_LENGTH = 12;
export const TRANSPORT_HEADER_LENGTH = 16;
/** Overhead of a transport message over the padded inner packet. */
export const TRANSPORT_OVERHEAD = TRANSPORT_HEADER_LENGTH + TAG_LENGTH;

/** Packets staged per peer without a session; the oldest is dropped for a new one. */
export const STAGED_PACKETS_PER_PEER = 128;
/** Bytes that the staged packets of all peers of a device may hold. */
export const STAGED_BYTES_PER_DEVICE = 16 * 1024 * 1024;

/** Handshakes per second from one proven source address while under load. */
export const SOURCE_RATE_PER_SECOND = 20;
export const SOURCE_RATE_BURST = 5;
/** Source addresses whose rate is tracked. */
export const SOURCE_RATE_ENTRIES = 1024;
/** A source silent for this long is no longer tracked. */
export const SOURCE_RATE_IDLE_TIME = 1_000;
/** Cookie replies per second at most: answering a flood must not cost more than the flood. */
export const COOKIE_REPLIES_PER_SECOND = 2_000;
/** Handshake messages with a valid mac1 per second above which cookies are required. About a quarter of one core. */
export const DEFAULT_UNDER_LOAD_INITIATIONS_PER_SECOND = 250;

export const DEFAULT_MAX_PEERS = 8192;
/** Removed peers whose timestamps are kept, so that a captured initiation is still refused if they return. */
export const RETIRED_PEERS = 1024;
/** Pause before a retry when no packet slot was free. */
export const NO_SLOT_RETRY = 5;
export const MIN_PERSISTENT_KEEPALIVE = 1_000;
