/**
 * PacketCipher on WASM SIMD. One memory, which never grows, holds everything:
 *
 *   0      32 job records of 64 bytes: key(32) counterLow(4) counterHigh(4) offset(4) length(4)
 *   2048   scratch of the module
 *   8192   TX slots, then RX slots
 *
 * Keys lie in memory only between queue and run; the module wipes all below the slots. Verdicts are the bits of a number.
 */
import { type ChecksumFunction, CIPHER_BATCH, type PacketCipher, type PacketMemory } from "../base/ports.ts";
import { AEAD_WASM } from "./aead.wasm.ts";
import { base64Decode } from "./base64.ts";
import { checksum as scalarChecksum } from "./checksum.ts";
import { assertJob, type CipherOptions, completeOptions } from "./cipher-options.ts";
import { SlotRing } from "./slot-ring.ts";

const JOB_BYTES = 64;
const JOB_WORDS = JOB_BYTES / 4;
/** Fields of a job, in words. */
const COUNTER_LOW = 8;
const COUNTER_HIGH = 9;
const OFFSET = 10;
const LENGTH = 11;
const SLOTS_AT = 8192;
/**
 * Mean length of a batch's jobs above which an accelerator pays off: OpenSSL needs a microsecond per packet before its
 * first byte.
 */
const ACCELERATE_FROM_BYTES = 768;
const PAGE_BYTES = 65_536;

/** The part of the WebAssembly API that is used here; cores know no DOM and no Node types. */
interface WasmApi {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: unknown };
  Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  validate(bytes: Uint8Array): boolean;
}

/** What assembly/index.ts exports. Offsets and lengths in bytes of the memory; nothing is checked there. */
interface AeadExports {
  seal(jobs: number): void;
  /** Bit i: the tag of job i was right. */
  open(jobs: number): number;
  checksum(offset: number, length: number, initial: number): number;
  /**
   * Poly1305 alone, `length` a multiple of 16; `stitched`: between the rounds of ChaCha20, as in packets. For test
   * vectors.
   */
  poly1305(key: number, offset: number, length: number, tag: number, stitched: boolean): void;
}

/**
 * A native implementation of the module's own `seal` and `open`, which work on the job records at the start of a memory. It wipes
 * the records of the jobs, and zeroes the text of a wrong tag.
 */
export interface AeadAccelerator {
  seal(memory: ArrayBuffer, jobs: number): void;
  open(memory: ArrayBuffer, jobs: number): number;
}

interface Aead {
  readonly exports: AeadExports;
  readonly buffer: ArrayBuffer;
}

let compiled: { readonly api: WasmApi; readonly module: object } | undefined;

/**
 * Undefined where WASM SIMD is missing.
 * @param accelerator Does the sealing and opening; the memory and the checksum stay those of the module.
 * @throws RangeError on sizes that no memory can have.
 */
export function createWasmCipher(
  options: Partial<CipherOptions> = {},
  accelerator?: AeadAccelerator,
): PacketCipher | undefined {
  const complete = completeOptions(options);
  const aead = instantiateAead(SLOTS_AT + (complete.txSlots + complete.rxSlots) * complete.stride);
  return aead === undefined ? undefined : new WasmCipher(aead, complete, accelerator);
}

/** Compiles the module now rather than with the first cipher, during a start that is otherwise idle. */
export function prepareWasmCipher(): void {
  compiled ??= compile();
}

/** The bare module over a memory of its own, of at least `memoryBytes`. Undefined where WASM SIMD is missing. */
export function instantiateAead(memoryBytes: number): Aead | undefined {
  compiled ??= compile();
  if (compiled === undefined) return undefined;
  const pages = Math.ceil(memoryBytes / PAGE_BYTES);
  const memory = new compiled.api.Memory({ initial: pages, maximum: pages });
  const instance = new compiled.api.Instance(compiled.module, { env: { memory } });
  return { exports: instance.exports as AeadExports, buffer: memory.buffer };
}

function compile(): { api: WasmApi; module: object } | undefined {
  const api = (globalThis as { WebAssembly?: WasmApi }).WebAssembly;
  if (api === undefined) return undefined;
  const bytes = base64Decode(AEAD_WASM);
  return api.validate(bytes) ? { api, module: new api.Module(bytes) } : undefined;
}

class WasmCipher implements PacketCipher {
  readonly memory: PacketMemory;
  readonly tx: SlotRing;
  readonly rx: SlotRing;
  readonly checksum: ChecksumFunction;
  readonly #buffer: ArrayBuffer;
  readonly #exports: AeadExports;
  readonly #accelerator: AeadAccelerator | undefined;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #slotBytes: number;
  readonly #stride: number;
  #count = 0;
  /** Bytes of the queued jobs. */
  #queuedBytes = 0;
  #opening = false;
  #verdicts = 0;
  #verdictCount = 0;

  constructor(
    { exports, buffer }: Aead,
    { stride, txSlots, rxSlots }: CipherOptions,
    accelerator: AeadAccelerator | undefined,
  ) {
    this.#buffer = buffer;
    this.#exports = exports;
    this.#accelerator = accelerator;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#slotBytes = (txSlots + rxSlots) * stride;
    this.#stride = stride;
    this.memory = { bytes: this.#bytes, view: new DataView(buffer) };
    this.tx = new SlotRing(SLOTS_AT, stride, txSlots);
    this.rx = new SlotRing(SLOTS_AT + txSlots * stride, stride, rxSlots);
    const own = this.#bytes;
    this.checksum = (bytes, offset, length, initial) =>
      bytes === own ? exports.checksum(offset, length, initial) : scalarChecksum(bytes, offset, length, initial);
  }

  queueSeal(key: Uint8Array, counterLow: number, counterHigh: number, offset: number, length: number): number {
    return this.#queue(false, key, counterLow, counterHigh, offset, length);
  }

  queueOpen(key: Uint8Array, counterLow: number, counterHigh: number, offset: number, length: number): number {
    return this.#queue(true, key, counterLow, counterHigh, offset, length);
  }

  runSeal(): void {
    this.#assertKind(false);
    const count = this.#count;
    if (count === 0) return;
    const accelerator = this.#acceleratorForBatch();
    this.#count = this.#queuedBytes = 0;
    if (accelerator === undefined) this.#exports.seal(count);
    else accelerator.seal(this.#buffer, count);
  }

  runOpen(): void {
    this.#assertKind(true);
    const count = this.#count;
    this.#verdictCount = count;
    if (count === 0) return;
    const accelerator = this.#acceleratorForBatch();
    this.#count = this.#queuedBytes = this.#verdicts = 0;
    this.#verdicts = accelerator === undefined ? this.#exports.open(count) : accelerator.open(this.#buffer, count);
  }

  verdict(index: number): boolean {
    return index >= 0 && index < this.#verdictCount && ((this.#verdicts >>> index) & 1) === 1;
  }

  #queue(
    opening: boolean,
    key: Uint8Array,
    counterLow: number,
    counterHigh: number,
    offset: number,
    length: number,
  ): number {
    this.#assertKind(opening);
    if (this.#count === CIPHER_BATCH) return -1;
    assertJob(key, offset, length, SLOTS_AT, this.#slotBytes, this.#stride);
    this.#opening = opening;
    const job = this.#count++;
    const words = this.#words;
    const at = job * JOB_WORDS;
    this.#bytes.set(key, job * JOB_BYTES);
    words[at + COUNTER_LOW] = counterLow;
    words[at + COUNTER_HIGH] = counterHigh;
    words[at + OFFSET] = offset;
    words[at + LENGTH] = length;
    this.#queuedBytes += length;
    return job;
  }

  #acceleratorForBatch(): AeadAccelerator | undefined {
    return this.#queuedBytes >= ACCELERATE_FROM_BYTES * this.#count ? this.#accelerator : undefined;
  }

  #assertKind(opening: boolean): void {
    if (this.#count > 0 && this.#opening !== opening) throw new Error("a batch is either sealing or opening");
  }
}
