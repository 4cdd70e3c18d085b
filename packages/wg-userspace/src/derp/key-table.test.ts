import { expect, it } from "vitest";
import { LinkRandom } from "../testing/link.ts";
import { KEY_BYTES } from "./frame.ts";
import { KeyTable } from "./key-table.ts";

/** Enough keys for several to share a hash of 30 bits. */
const KEYS = 150_000;

it("finds every key among many, also those that share a hash, and none that was deleted or never added", () => {
  const random = new LinkRandom(11);
  const all = random.bytes(KEYS * KEY_BYTES);
  const key = (i: number): Uint8Array => all.subarray(i * KEY_BYTES, (i + 1) * KEY_BYTES);
  const table = new KeyTable<number>(random.uint32());
  for (let i = 0; i < KEYS; i++) table.add(key(i), i);
  const count = (wrong: (i: number) => boolean): number =>
    Array.from({ length: KEYS }, (_, i) => i).filter(wrong).length;
  expect(table.size).toBe(KEYS);
  expect(count((i) => table.at(all, i * KEY_BYTES) !== i)).toBe(0);
  expect(new Set(table.values()).size).toBe(KEYS);
  for (let i = 0; i < KEYS; i += 2) table.delete(key(i));
  table.delete(key(0));
  expect(table.size).toBe(KEYS / 2);
  expect(count((i) => table.get(key(i)) !== (i % 2 === 0 ? undefined : i))).toBe(0);
  for (let i = KEYS - 1; i > 0; i -= 2) table.delete(key(i));
  expect([table.size, [...table.values()]]).toEqual([0, []]);
});

it("every byte of a key counts", () => {
  const table = new KeyTable<string>(1);
  const key = new Uint8Array(KEY_BYTES).fill(5);
  table.add(key, "it");
  for (let at = 0; at < KEY_BYTES; at++) expect(table.get(key.with(at, 6))).toBeUndefined();
  expect(table.get(key.slice())).toBe("it");
});
