import { expect, test } from "vitest";
import { CHALLENGE_BYTES, identityStatement, safetyNumber } from "./agent-identity.ts";

test("what is signed differs with the challenge and with the node key", () => {
  const bytes = (fill: number): Uint8Array => new Uint8Array(CHALLENGE_BYTES).fill(fill);
  const texts = [identityStatement(bytes(1), bytes(2)), identityStatement(bytes(2), bytes(1))].map(String);
  expect(texts[0]).not.toBe(texts[1]);
  expect(new TextDecoder().decode(identityStatement(bytes(1), bytes(2)).subarray(0, 32))).toBe(
    "coder agent identity, version 1\0",
  );
  expect(identityStatement(bytes(1), bytes(2)).length).toBe(32 + 2 * CHALLENGE_BYTES);
});

test("a safety number is thirty digits, of which any byte of the key changes some", () => {
  const key = Uint8Array.from({ length: 32 }, (_, index) => index);
  expect(safetyNumber(key)).toBe("09060 60585 12110 63635 15160 66685");
  for (let index = 0; index < 30; index++) {
    const other = Uint8Array.from(key);
    other[index]! ^= 1;
    expect(safetyNumber(other)).not.toBe(safetyNumber(key));
  }
});
