import { viewOf } from "../base/bytes.ts";
import { CIPHER_BATCH, type CryptoSuite, type PacketCipher, type SlotPool } from "../base/ports.ts";

const TAG_BYTES = 16;
const STRIDE = 1536;
const CONTROL_RESERVE = 8;
const EMPTY = new Uint8Array(0);

/**
 * The simplest PacketCipher: one call of a CryptoSuite per job, on ordinary memory. Slow; a reference, and a substitute where
 * WebAssembly is not wanted. Leased slots are filled with 0xa5, so that unwritten bytes show.
 */
export function suiteCipher(crypto: CryptoSuite, slotsPerPool = 256, stride = STRIDE): PacketCipher {
  const bytes = new Uint8Array(2 * slotsPerPool * stride);
  const memory = { bytes, view: viewOf(bytes) };
  const seals: Job[] = [];
  const opens: Job[] = [];
  let verdicts: boolean[] = [];
  return {
    memory,
    tx: slotPool(bytes, 0, slotsPerPool, stride),
    rx: slotPool(bytes, slotsPerPool * stride, slotsPerPool, stride),
    checksum: scalarChecksum,
    queueSeal: (key, low, high, offset, length) => queue(seals, opens, { key: key.slice(), low, high, offset, length }),
    runSeal() {
      for (const job of seals.splice(0)) {
        const plaintext = bytes.subarray(job.offset, job.offset + job.length);
        bytes.set(crypto.seal(job.key, counterOf(job), plaintext, EMPTY), job.offset);
      }
    },
    queueOpen: (key, low, high, offset, length) => queue(opens, seals, { key: key.slice(), low, high, offset, length }),
    runOpen() {
      verdicts = opens.splice(0).map((job) => {
        const sealed = bytes.subarray(job.offset, job.offset + job.length + TAG_BYTES);
        const plaintext = crypto.open(job.key, counterOf(job), sealed, EMPTY);
        if (plaintext === undefined) sealed.fill(0, 0, job.length);
        else sealed.set(plaintext);
        return plaintext !== undefined;
      });
    },
    verdict(index) {
      const verdict = verdicts[index];
      if (verdict === undefined) throw new RangeError(`the last batch had no job ${index}`);
      return verdict;
    },
  };
}

interface Job {
  readonly key: Uint8Array;
  readonly low: number;
  readonly high: number;
  readonly offset: number;
  readonly length: number;
}

function queue(into: Job[], other: readonly Job[], job: Job): number {
  if (other.length > 0) throw new Error("a batch is either sealing or opening");
  if (into.length === CIPHER_BATCH) return -1;
  into.push(job);
  return into.length - 1;
}

function counterOf(job: Job): number {
  return job.high * 2 ** 32 + job.low;
}

function slotPool(bytes: Uint8Array, base: number, capacity: number, stride: number): SlotPool {
  const free = Array.from({ length: capacity }, (_, i) => base + (capacity - 1 - i) * stride);
  const leased = new Set<number>();
  const take = (reserve: number): number => {
    if (free.length <= reserve) return -1;
    const slot = free.pop()!;
    leased.add(slot);
    bytes.fill(0xa5, slot, slot + stride);
    return slot;
  };
  return {
    stride,
    capacity,
    get free() {
      return Math.max(0, free.length - CONTROL_RESERVE);
    },
    lease: () => take(CONTROL_RESERVE),
    leaseForControl: () => take(0),
    release(slot) {
      if (!leased.delete(slot)) throw new Error(`slot ${slot} is not leased`);
      free.push(slot);
    },
  };
}

function scalarChecksum(from: Uint8Array, offset: number, length: number, initial: number): number {
  let sum = initial;
  for (let i = 0; i < length; i += 2) sum += (from[offset + i]! << 8) | (i + 1 < length ? from[offset + i + 1]! : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
