/** What the shell supplies to the cores. A core never imports an implementation of these. */

export interface RandomSource {
  /** Fresh unpredictable bytes; owned by the caller. */
  bytes(length: number): Uint8Array;
  /** Uniform in 0 … 2^32-1. */
  uint32(): number;
}

/** Primitives of the handshakes and boxes. Bulk packets never come here: see {@link PacketCipher}. */
export interface CryptoSuite {
  /** X25519 public key of a 32-byte private key. */
  publicKey(privateKey: Uint8Array): Uint8Array;
  /** X25519; undefined when the result is all zero (RFC 7748 §6.1), which callers must treat as a rejected peer. */
  sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
  /** BLAKE2s-256 over the concatenation of the parts. */
  blake2s(...parts: readonly Uint8Array[]): Uint8Array;
  /** RFC 2104 HMAC over BLAKE2s-256. */
  hmacBlake2s(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  /** Keyed BLAKE2s with a 16-byte digest: WireGuard's MAC(). */
  macBlake2s(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  /** ChaCha20-Poly1305 with nonce = 4 zero bytes ‖ counter (u64 LE). Returns ciphertext ‖ tag. */
  seal(key: Uint8Array, counter: number, plaintext: Uint8Array, ad: Uint8Array): Uint8Array;
  /** Undefined when the tag is wrong. */
  open(key: Uint8Array, counter: number, sealed: Uint8Array, ad: Uint8Array): Uint8Array | undefined;
  /** XChaCha20-Poly1305 with a 24-byte nonce. */
  sealX(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): Uint8Array;
  openX(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, ad: Uint8Array): Uint8Array | undefined;
  /** NaCl box key: HSalsa20(X25519(private, public), 0). Cacheable per key pair. Undefined for an all-zero secret. */
  boxKey(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
  /** NaCl secretbox under a box key: returns tag(16) ‖ ciphertext. */
  sealBox(boxKey: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array;
  openBox(boxKey: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  /** Constant-time comparison; false for different lengths. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";

/** Structured log. Keys are short; values are never secrets. Peer addresses not above debug. */
export interface Logger {
  readonly level: LogLevel;
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

const ORDER: Readonly<Record<LogLevel, number>> = { trace: 0, debug: 1, info: 2, warn: 3, error: 4 };

/** Whether a message of `level` would be written: ask before building fields in a hot path. */
export function logs(logger: Logger, level: LogLevel): boolean {
  return ORDER[level] >= ORDER[logger.level];
}

export const silentLogger: Logger = { level: "error", log: () => undefined };

/** Bytes and one DataView over all of them; views per packet are never built. */
export interface PacketMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/**
 * A ring of fixed-size packet slots inside one {@link PacketMemory}. A slot is named by its byte offset, which is a
 * multiple of 16. Layout of a slot: 16 bytes WireGuard header, inner IP packet, 16 bytes tag.
 */
export interface SlotPool {
  /** Bytes of a slot. */
  readonly stride: number;
  readonly capacity: number;
  /** Slots that lease() can still hand out. */
  readonly free: number;
  /** Byte offset of a leased slot, or -1 when none is left. The last few slots are kept for control messages. */
  lease(): number;
  /** Like lease, but may take the reserved slots: handshakes and keepalives, never data. */
  leaseForControl(): number;
  /** Gives a slot back. Releasing a free slot is a bug and throws. */
  release(slot: number): void;
}

/** RFC 1071 sum over `length` bytes at `offset`, folded to 16 bits, not complemented. `initial` is a running sum. */
export type ChecksumFunction = (bytes: Uint8Array, offset: number, length: number, initial: number) => number;

/** Jobs per batch of a {@link PacketCipher}. */
export const CIPHER_BATCH = 32;

/**
 * ChaCha20-Poly1305 for transport packets, in place and in batches, over slots of its own memory.
 * A batch is either sealing or opening. Nonce = 4 zero bytes ‖ counter (u64 LE), no additional data.
 */
export interface PacketCipher {
  readonly memory: PacketMemory;
  readonly tx: SlotPool;
  readonly rx: SlotPool;
  /** Fast checksum over this memory; falls back to a scalar loop for other buffers. */
  readonly checksum: ChecksumFunction;
  /**
   * Adds a job: encrypt `length` bytes at `offset`, write the tag after them. The key is copied.
   * @returns the job's index in the batch, or -1 when the batch holds CIPHER_BATCH jobs: run it first.
   */
  queueSeal(key: Uint8Array, counterLow: number, counterHigh: number, offset: number, length: number): number;
  /** Runs and empties the batch. */
  runSeal(): void;
  /** Adds a job: `length` bytes of ciphertext at `offset`, followed by the tag. Otherwise like queueSeal. */
  queueOpen(key: Uint8Array, counterLow: number, counterHigh: number, offset: number, length: number): number;
  /** Runs and empties the batch. A job with a wrong tag has its bytes zeroed. Verdicts stay readable until the next run. */
  runOpen(): void;
  /** Whether job `index` of the last runOpen carried the right tag. */
  verdict(index: number): boolean;
}
