/**
 * Poly1305 (RFC 8439 §2.5), written for readability: the reference for the one in assembly/, deliberately in different arithmetic.
 *
 * Numbers are six limbs of 22 bits in ordinary JavaScript numbers. With a block added a limb is below 2^23 + 20, so its
 * product with one of r is below 2^46; and 2^132, where the limbs end, is 20 modulo 2^130 - 5. A column of the product, six
 * terms of which five may be taken twenty times, is below 2^46 · 101 < 2^53 and exact.
 */
import { viewOf } from "../base/bytes.ts";

const LIMBS = 6;
const BASE = 2 ** 22;
const LIMB_MASK = BASE - 1;
/** 2^132 mod 2^130 - 5. */
const WRAP = 20;
const BLOCK_BYTES = 16;
/** 2^130 - 5. */
const PRIME = [BASE - 5, BASE - 1, BASE - 1, BASE - 1, BASE - 1, 2 ** 20 - 1];

/** The tag of 16 bytes. `key` has 32 bytes and must not be used twice. */
export function poly1305(key: Uint8Array, message: Uint8Array): Uint8Array {
  const r = new Float64Array(LIMBS);
  addLimbs(r, viewOf(clamped(key)), 0, 0);
  const h = new Float64Array(LIMBS);
  const product = new Float64Array(LIMBS);
  const view = viewOf(message);
  const whole = message.length - (message.length % BLOCK_BYTES);
  // Every block has a 1 behind its last byte: bit 128 of a whole block.
  for (let at = 0; at < whole; at += BLOCK_BYTES) {
    addLimbs(h, view, at, 1);
    multiply(h, r, product);
  }
  if (whole < message.length) {
    const last = new Uint8Array(BLOCK_BYTES);
    last.set(message.subarray(whole));
    last[message.length - whole] = 1;
    addLimbs(h, viewOf(last), 0, 0);
    multiply(h, r, product);
  }
  reduce(h);
  return addPad(h, key);
}

function clamped(key: Uint8Array): Uint8Array {
  const r = new Uint8Array(key.subarray(0, BLOCK_BYTES)); // a copy; slice of a Buffer is a view
  for (const i of [3, 7, 11, 15]) r[i] = r[i]! & 15;
  for (const i of [4, 8, 12]) r[i] = r[i]! & 252;
  return r;
}

/** Adds the number in 16 little-endian bytes, with a bit 128 above them, limb by limb and without carrying. */
function addLimbs(sum: Float64Array, view: DataView, at: number, bit128: number): void {
  const w0 = view.getUint32(at, true);
  const w1 = view.getUint32(at + 4, true);
  const w2 = view.getUint32(at + 8, true);
  const w3 = view.getUint32(at + 12, true);
  sum[0] = sum[0]! + (w0 & LIMB_MASK);
  sum[1] = sum[1]! + (((w0 >>> 22) | (w1 << 10)) & LIMB_MASK);
  sum[2] = sum[2]! + (((w1 >>> 12) | (w2 << 20)) & LIMB_MASK);
  sum[3] = sum[3]! + ((w2 >>> 2) & LIMB_MASK);
  sum[4] = sum[4]! + (((w2 >>> 24) | (w3 << 8)) & LIMB_MASK);
  sum[5] = sum[5]! + ((w3 >>> 14) | (bit128 << 18));
}

/** h := h · r modulo 2^130 - 5, not fully reduced: limbs below 2^22, but the lowest, which is below 2^22 + 20. */
function multiply(h: Float64Array, r: Float64Array, product: Float64Array): void {
  product.fill(0);
  for (let i = 0; i < LIMBS; i++) {
    for (let j = 0; j < LIMBS; j++) {
      const term = h[i]! * r[j]!;
      const column = i + j;
      if (column < LIMBS) product[column] = product[column]! + term;
      else product[column - LIMBS] = product[column - LIMBS]! + term * WRAP;
    }
  }
  carry(product);
  carry(product);
  h.set(product);
}

function carry(x: Float64Array): void {
  let over = 0;
  for (let i = 0; i < LIMBS; i++) {
    const sum = x[i]! + over;
    over = Math.floor(sum / BASE);
    x[i] = sum - over * BASE;
  }
  x[0] = x[0]! + over * WRAP;
}

/** Reduces h to the one number below 2^130 - 5 that it stands for. */
function reduce(h: Float64Array): void {
  carry(h);
  carry(h);
  // Now h < 2^132, that is less than five times the prime: four subtractions, each kept if it is not negative.
  for (let round = 0; round < 4; round++) {
    const less = new Float64Array(LIMBS);
    let borrow = 0;
    for (let i = 0; i < LIMBS; i++) {
      const difference = h[i]! - PRIME[i]! - borrow;
      borrow = difference < 0 ? 1 : 0;
      less[i] = difference + borrow * BASE;
    }
    for (let i = 0; i < LIMBS; i++) h[i] = borrow * h[i]! + (1 - borrow) * less[i]!;
  }
}

/** h + s modulo 2^128, where s is the second half of the key. */
function addPad(h: Float64Array, key: Uint8Array): Uint8Array {
  const tag = new Uint8Array(BLOCK_BYTES);
  const sum = h.slice();
  let over = 0;
  for (let i = 0; i < BLOCK_BYTES; i++) {
    // Byte i of h: bits 8i to 8i + 7, from one limb or two.
    const [limb, shift] = [Math.floor((8 * i) / 22), (8 * i) % 22];
    const next = limb + 1 < LIMBS ? sum[limb + 1]! : 0;
    const byte = ((sum[limb]! >>> shift) | (next << (22 - shift))) & 255;
    over += byte + key[BLOCK_BYTES + i]!;
    tag[i] = over & 255;
    over >>>= 8;
  }
  return tag;
}
