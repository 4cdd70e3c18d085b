/**
 * PacketCipher on WASM SIMD. One memory holds the job records, the packet slots of both directions, and nothing else:
 *
 *   0      32 job records of 64 bytes: key(32) counterLow(4) counterHigh(4) offset(4) length(4) verdict(4)
 *   4096   scratch of the module
 *   8192   TX slots, then RX slots
 *
 * Keys lie in memory only between queue and run; the module wipes them.
 */
import { type ChecksumFunction, CIPHER_BATCH, type PacketCipher, type PacketMemory } from "../base/ports.ts";
import { AEAD_WASM } from "./aead.wasm.ts";
import { base64Decode } from "./base64.ts";
import { checksum as scalarChecksum } from "./checksum.ts";
import type { CipherOptions } from "./cipher-options.ts";
import { SlotRing } from "./slot-ring.ts";

const JOB_BYTES = 64;
const JOB_WORDS = JOB_BYTES / 4;
const SLOTS_AT = 8192;
const PAGE_BYTES = 65_536;
/** Jobs' verdicts, in words from the start of a record. */
const COUNTER_LOW = 8;
const COUNTER_HIGH = 9;
const OFFSET = 10;
const LENGTH = 11;
const VERDICT = 12;

interface WasmMemory {
  readonly buffer: ArrayBuffer;
}
interface AeadExports {
  seal(count: number): void;
  open(count: number): void;
  checksum(offset: number, length: number, initial: number): number;
}
/** The little of the WebAssembly API that is used here; cores know no DOM and no Node types. */
interface WasmApi {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: unknown };
  Memory: new (limits: { initial: number; maximum: number }) => WasmMemory;
  validate(bytes: Uint8Array): boolean;
}

let compiled: { readonly api: WasmApi; readonly module: object } | undefined;

/** Undefined where WASM SIMD is missing. */
export function createWasmCipher(options: CipherOptions): PacketCipher | undefined {
  compiled ??= compile();
  return compiled === undefined ? undefined : new WasmCipher(compiled.api, compiled.module, options);
}

function compile(): { api: WasmApi; module: object } | undefined {
  const api = (globalThis as { WebAssembly?: WasmApi }).WebAssembly;
  const bytes = base64Decode(AEAD_WASM);
  if (api === undefined || !api.validate(bytes)) return undefined;
  return { api, module: new api.Module(bytes) };
}

class WasmCipher implements PacketCipher {
  readonly memory: PacketMemory;
  readonly tx: SlotRing;
  readonly rx: SlotRing;
  readonly checksum: ChecksumFunction;
  readonly #exports: AeadExports;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #verdicts = new Uint8Array(CIPHER_BATCH);
  #count = 0;

  constructor(api: WasmApi, module: object, options: CipherOptions) {
    const { stride, txSlots, rxSlots } = options;
    const pages = Math.ceil((SLOTS_AT + (txSlots + rxSlots) * stride) / PAGE_BYTES);
    const memory = new api.Memory({ initial: pages, maximum: pages });
    this.#exports = new api.Instance(module, { env: { memory } }).exports as AeadExports;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#words = new Uint32Array(memory.buffer);
    this.memory = { bytes: this.#bytes, view: new DataView(memory.buffer) };
    this.tx = new SlotRing(SLOTS_AT, stride, txSlots);
    this.rx = new SlotRing(SLOTS_AT + txSlots * stride, stride, rxSlots);
    this.checksum = (bytes, offset, length, initial) =>
      bytes === this.#bytes
        ? this.#exports.checksum(offset, length, initial)
        : scalarChecksum(bytes, offset, length, initial);
  }

  queueSeal(key: Uint8Array, counterLow: number, counterHigh: number, offset: number, length: number): number {
    if (this.#count === CIPHER_BATCH) return -1;
    const job = this.#count++;
    const words = this.#words;
    const at = job * JOB_WORDS;
    this.#bytes.set(key, job * JOB_BYTES);
    words[at + COUNTER_LOW] = counterLow;
    words[at + COUNTER_HIGH] = counterHigh;
    words[at + OFFSET] = offset;
    words[at + LENGTH] = length;
    return job;
  }

  queueOpen(key: Uint8Array, counterLow: number, counterHigh: number, offset: number, length: number): number {
    return this.queueSeal(key, counterLow, counterHigh, offset, length);
  }

  runSeal(): void {
    this.#exports.seal(this.#count);
    this.#count = 0;
  }

  runOpen(): void {
    this.#exports.open(this.#count);
    for (let job = 0; job < this.#count; job++) this.#verdicts[job] = this.#words[job * JOB_WORDS + VERDICT]!;
    this.#count = 0;
  }

  verdict(index: number): boolean {
    return this.#verdicts[index] === 1;
  }
}
