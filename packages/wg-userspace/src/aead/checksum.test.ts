import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hexDecode } from "../base/bytes.ts";
import { checksum } from "./checksum.ts";
import { createWasmCipher } from "./wasm-cipher.ts";

const wasm = createWasmCipher({ txSlots: 32, rxSlots: 32, stride: 9216 })!;
const own = wasm.memory.bytes;
const base = wasm.rx.lease();

/** RFC 1071 with whole numbers. */
function naive(bytes: Uint8Array, offset: number, length: number, initial: number): number {
  let sum = BigInt(initial);
  for (let i = 0; i < length; i++) sum += BigInt(bytes[offset + i]!) << (i % 2 === 0 ? 8n : 0n);
  while (sum > 0xffffn) sum = (sum & 0xffffn) + (sum >> 16n);
  return Number(sum);
}

function compare(bytes: Uint8Array, offset: number, length: number, initial: number): void {
  const expected = naive(bytes, offset, length, initial);
  if (checksum(bytes, offset, length, initial) !== expected)
    expect.fail(`JavaScript: ${length} bytes at ${offset}, from ${initial}`);
  if (wasm.checksum(bytes, offset, length, initial) !== expected)
    expect.fail(`WASM: ${length} bytes at ${offset}, from ${initial}`);
}

describe("the checksum", () => {
  it("is the sum of RFC 1071 §3's example", () => {
    expect(checksum(hexDecode("0001f203f4f5f6f7"), 0, 8, 0)).toBe(0xddf2);
    own.set(hexDecode("0001f203f4f5f6f7"), base);
    expect(wasm.checksum(own, base, 8, 0)).toBe(0xddf2);
  });

  it("reads an odd last byte as the high half of a word", () => {
    expect(checksum(hexDecode("0102ab"), 0, 3, 0)).toBe(0x0102 + 0xab00);
  });

  it.each([
    ["random bytes", () => randomBytes(1600)],
    ["ones", () => Buffer.alloc(1600, 0xff)],
    ["zeros", () => Buffer.alloc(1600)],
  ])("is the same in WASM, JavaScript and a naive loop for every alignment and length of %s", (_name, fill) => {
    own.set(fill(), base);
    for (let length = 0; length <= 1500; length += length < 300 ? 1 : 31)
      for (let shift = 0; shift < 8; shift++) compare(own, base + shift, length, (length * 4099 + shift) % 0x1_ffff);
  });

  it("continues from any running sum", () => {
    for (const initial of [0, 1, 0xfffe, 0xffff, 0x1_0000, 0xffff_ffff])
      for (const length of [0, 3, 200]) compare(own, base, length, initial);
  });

  it("does not overflow over more than a megabyte of ones, where a 32-bit sum would", () => {
    const large = createWasmCipher({ txSlots: 16, rxSlots: 112, stride: 9216 })!;
    const { bytes } = large.memory;
    const length = 128 * 9216 - 3;
    bytes.fill(0xff, 8192);
    bytes[8192 + 5000] = 0x12;
    const expected = naive(bytes, 8193, length, 0xffff);
    expect(large.checksum(bytes, 8193, length, 0xffff)).toBe(expected);
    expect(checksum(bytes, 8193, length, 0xffff)).toBe(expected);
  });

  it("works on buffers other than the cipher's, and on views into larger ones", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 700 }),
        fc.nat(9),
        fc.nat(9),
        fc.nat(0xffff),
        (bytes, viewAt, offset, initial) => {
          const view = new Uint8Array(new Uint8Array([...new Uint8Array(viewAt), ...bytes]).buffer, viewAt);
          const from = Math.min(offset, view.length);
          compare(view, from, view.length - from, initial);
        },
      ),
      { numRuns: 300 },
    );
  });
});
