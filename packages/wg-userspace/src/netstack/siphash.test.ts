import { expect, test } from "vitest";
import { SipHash } from "./siphash.ts";

const key = Uint8Array.from({ length: 16 }, (_, i) => i);
const hashOf = (length: number) => {
  const [low, high] = new SipHash(key).hash(Uint8Array.from({ length }, (_, i) => i));
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
};

test("SipHash-2-4 gives the value of the paper's appendix A for 15 bytes", () => {
  expect(hashOf(15)).toBe("a129ca6149be45e5");
});

test.each([
  [0, "726fdb47dd0e0e31"],
  [1, "74f839c593dc67fd"],
  [2, "0d6c8009d9a94f5a"],
  [3, "85676696d7fb7e2d"],
  [4, "cf2794e0277187b7"],
  [5, "18765564cd99a68d"],
  [6, "cbc9466e58fee3ce"],
  [7, "ab0200f58b01d137"],
  [8, "93f5f5799a932462"],
])("SipHash-2-4 gives the reference implementation's value for %i bytes", (length, expected) => {
  expect(hashOf(length)).toBe(expected);
});

test("a hash does not depend on the one before it, and the key may lie anywhere", () => {
  const shifted = new Uint8Array(20);
  shifted.set(key, 3);
  const hasher = new SipHash(shifted.subarray(3, 19));
  const once = hasher.hash(key);
  hasher.hash(shifted);
  expect(hasher.hash(key)).toEqual(once);
  expect(new SipHash(key).hash(key)).toEqual(once);
});

test.each([0, 15, 17, 32])("a key of %i bytes is refused", (length) => {
  expect(() => new SipHash(new Uint8Array(length))).toThrow(`a SipHash key has 16 bytes, got ${length}`);
});
