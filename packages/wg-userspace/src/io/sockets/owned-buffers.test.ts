import { Readable } from "node:stream";
import fc from "fast-check";
import { expect, it } from "vitest";
import { freeWhole, lenderOf } from "./owned-buffers.ts";

const isDetached = (chunk: Uint8Array): boolean => (chunk.buffer as ArrayBuffer).detached;

it("frees a chunk that is all of its memory", () => {
  const chunk = new Uint8Array(65536);
  freeWhole(chunk);
  expect([isDetached(chunk), chunk.length]).toEqual([true, 0]);
  freeWhole(chunk); // a second call finds nothing
});

it("never frees a part of something", () => {
  const whole = 1 << 17;
  const view = fc.tuple(fc.nat(whole), fc.nat(whole)).map(([a, b]) => [Math.min(a, b), Math.abs(a - b)] as const);
  fc.assert(
    fc.property(view, ([offset, length]) => {
      const memory = new ArrayBuffer(whole);
      const last = Math.min(length, whole - offset);
      freeWhole(new Uint8Array(memory, offset, last));
      expect(memory.detached).toBe(offset === 0 && last === whole);
    }),
  );
});

it("never frees memory of Node's pool, or shared memory", () => {
  const sizes = fc.nat(3 * Buffer.poolSize);
  fc.assert(
    fc.property(sizes, fc.constantFrom("unsafe", "from", "text"), (size, kind) => {
      const chunk =
        kind === "unsafe"
          ? Buffer.allocUnsafe(size)
          : kind === "from"
            ? Buffer.from(new Uint8Array(size))
            : Buffer.from("x".repeat(size));
      const pooled = chunk.buffer.byteLength !== chunk.length || size < 4096;
      freeWhole(chunk);
      expect(isDetached(chunk)).toBe(!pooled);
    }),
  );
  const shared = new Uint8Array(new SharedArrayBuffer(65536)).fill(7);
  freeWhole(shared);
  expect(shared.every((byte) => byte === 7)).toBe(true);
  expect(Buffer.from("the pool is whole").toString()).toBe("the pool is whole");
});

it("takes chunks back only from streams whose chunks have no other reader", () => {
  expect(lenderOf(Readable.from([Buffer.alloc(65536)]))).toBeUndefined();
  const returned: Uint8Array[] = [];
  const lending = Object.assign(Readable.from([]), { giveBack: (chunk: Uint8Array) => void returned.push(chunk) });
  const chunk = new Uint8Array(10);
  lenderOf(lending)?.(chunk);
  expect(returned).toEqual([chunk]);
});
