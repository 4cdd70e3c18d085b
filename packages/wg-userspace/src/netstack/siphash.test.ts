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
  [8, "93f5f5799a932462"],
])("SipHash-2-4 gives the reference implementation's value for %i bytes", (length, expected) => {
  expect(hashOf(length)).toBe(expected);
});
