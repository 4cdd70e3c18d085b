/** ChaCha20 (RFC 8439 §2.3, §2.4), written for readability: the reference for the one in assembly/. */
import { viewOf } from "../base/bytes.ts";

/** "expand 32-byte k" as little-endian words. Words are signed, so that sums stay 32-bit integers. */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];
const BLOCK_BYTES = 64;

/** One block of key stream. `nonce` has 12 bytes; `counter` is taken modulo 2^32. */
export function chacha20Block(key: Uint8Array, counter: number, nonce: Uint8Array): Uint8Array {
  const state = initialState(key, counter, nonce);
  const block = new Uint8Array(BLOCK_BYTES);
  writeBlock(state, new Int32Array(16), viewOf(block));
  return block;
}

/** XORs the key stream from block `counter` on into `bytes`. */
export function chacha20Xor(key: Uint8Array, counter: number, nonce: Uint8Array, bytes: Uint8Array): void {
  const state = initialState(key, counter, nonce);
  const scratch = new Int32Array(16);
  const block = new Uint8Array(BLOCK_BYTES);
  const view = viewOf(block);
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    writeBlock(state, scratch, view);
    const length = Math.min(BLOCK_BYTES, bytes.length - at);
    for (let i = 0; i < length; i++) bytes[at + i] = bytes[at + i]! ^ block[i]!;
    state[12] = (state[12]! + 1) | 0;
  }
  state.fill(0);
  scratch.fill(0);
  block.fill(0);
}

function initialState(key: Uint8Array, counter: number, nonce: Uint8Array): Int32Array {
  const [keyWords, nonceWords] = [viewOf(key), viewOf(nonce)];
  const state = new Int32Array(16);
  state.set(CONSTANTS);
  for (let i = 0; i < 8; i++) state[4 + i] = keyWords.getInt32(4 * i, true);
  state[12] = counter;
  for (let i = 0; i < 3; i++) state[13 + i] = nonceWords.getInt32(4 * i, true);
  return state;
}

function writeBlock(state: Int32Array, x: Int32Array, out: DataView): void {
  x.set(state);
  for (let round = 0; round < 20; round += 2) {
    quarterRound(x, 0, 4, 8, 12);
    quarterRound(x, 1, 5, 9, 13);
    quarterRound(x, 2, 6, 10, 14);
    quarterRound(x, 3, 7, 11, 15);
    quarterRound(x, 0, 5, 10, 15);
    quarterRound(x, 1, 6, 11, 12);
    quarterRound(x, 2, 7, 8, 13);
    quarterRound(x, 3, 4, 9, 14);
  }
  for (let i = 0; i < 16; i++) out.setInt32(4 * i, x[i]! + state[i]!, true);
}

function quarterRound(x: Int32Array, a: number, b: number, c: number, d: number): void {
  x[a] = (x[a]! + x[b]!) | 0;
  x[d] = rotateLeft(x[d]! ^ x[a]!, 16);
  x[c] = (x[c]! + x[d]!) | 0;
  x[b] = rotateLeft(x[b]! ^ x[c]!, 12);
  x[a] = (x[a]! + x[b]!) | 0;
  x[d] = rotateLeft(x[d]! ^ x[a]!, 8);
  x[c] = (x[c]! + x[d]!) | 0;
  x[b] = rotateLeft(x[b]! ^ x[c]!, 7);
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
