/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012), a keyed hash for short inputs, on 32-bit halves. Used where a value must
 * not be guessable from outside: initial sequence numbers, timestamp offsets, ports. Allocates; not for the packet path.
 */
export class SipHash {
  readonly #k0l: number;
  readonly #k0h: number;
  readonly #k1l: number;
  readonly #k1h: number;
  #v: Uint32Array = new Uint32Array(8);

  /** @param key 16 bytes. */
  constructor(key: Uint8Array) {
    if (key.length !== 16) throw new RangeError(`a SipHash key has 16 bytes, got ${key.length}`);
    const view = new DataView(key.buffer, key.byteOffset, 16);
    this.#k0l = view.getUint32(0, true);
    this.#k0h = view.getUint32(4, true);
    this.#k1l = view.getUint32(8, true);
    this.#k1h = view.getUint32(12, true);
  }

  /** @returns the 64-bit hash as [low, high], each unsigned. */
  hash(input: Uint8Array): [low: number, high: number] {
    const v = this.#v;
    v[0] = this.#k0l ^ 0x70736575;
    v[1] = this.#k0h ^ 0x736f6d65;
    v[2] = this.#k1l ^ 0x6e646f6d;
    v[3] = this.#k1h ^ 0x646f7261;
    v[4] = this.#k0l ^ 0x6e657261;
    v[5] = this.#k0h ^ 0x6c796765;
    v[6] = this.#k1l ^ 0x79746573;
    v[7] = this.#k1h ^ 0x74656462;
    const whole = input.length - (input.length % 8);
    for (let at = 0; at < whole; at += 8) this.#block(word(input, at), word(input, at + 4));
    this.#block(word(input, whole), word(input, whole + 4) | ((input.length & 255) << 24));
    v[4] = v[4]! ^ 0xff;
    for (let i = 0; i < 4; i++) round(v);
    return [(v[0]! ^ v[2]! ^ v[4]! ^ v[6]!) >>> 0, (v[1]! ^ v[3]! ^ v[5]! ^ v[7]!) >>> 0];
  }

  #block(low: number, high: number): void {
    const v = this.#v;
    v[6] = v[6]! ^ low;
    v[7] = v[7]! ^ high;
    round(v);
    round(v);
    v[0] = v[0]! ^ low;
    v[1] = v[1]! ^ high;
  }
}

/** Little-endian; bytes past the end count as zero. */
function word(input: Uint8Array, at: number): number {
  return (input[at] ?? 0) | ((input[at + 1] ?? 0) << 8) | ((input[at + 2] ?? 0) << 16) | ((input[at + 3] ?? 0) << 24);
}

function round(v: Uint32Array): void {
  add(v, 0, 2);
  rotateXor(v, 2, 13, 0);
  rotate32(v, 0);
  add(v, 4, 6);
  rotateXor(v, 6, 16, 4);
  add(v, 0, 6);
  rotateXor(v, 6, 21, 0);
  add(v, 4, 2);
  rotateXor(v, 2, 17, 4);
  rotate32(v, 4);
}

/** v[a] += v[b] on 64 bits. */
function add(v: Uint32Array, a: number, b: number): void {
  const low = v[a]! + v[b]!;
  v[a] = low;
  v[a + 1] = v[a + 1]! + v[b + 1]! + (low > 0xffffffff ? 1 : 0);
}

/** v[a] = rotl(v[a], bits) ^ v[b]. */
function rotateXor(v: Uint32Array, a: number, bits: number, b: number): void {
  const low = v[a]!;
  const high = v[a + 1]!;
  v[a] = ((low << bits) | (high >>> (32 - bits))) ^ v[b]!;
  v[a + 1] = ((high << bits) | (low >>> (32 - bits))) ^ v[b + 1]!;
}

function rotate32(v: Uint32Array, a: number): void {
  const low = v[a]!;
  v[a] = v[a + 1]!;
  v[a + 1] = low;
}
