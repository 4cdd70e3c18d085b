import { expect, test } from "vitest";
import { Recent } from "./recent.ts";

test("one look-up serves all requests within a second", async () => {
  let now = 0;
  let looked = 0;
  const recent = new Recent<number>(() => now);
  const ask = () => recent.get("a", async () => ++looked);
  expect(await Promise.all([ask(), ask()])).toEqual([1, 1]);
  now = 999;
  expect(await ask()).toBe(1);
  now = 1_000;
  expect(await ask()).toBe(2);
});

test("nothing that was read before a change is returned after it", async () => {
  const recent = new Recent<string>(() => 0);
  const old = Promise.withResolvers<string>();
  const first = recent.get("a", () => old.promise);
  recent.forget();
  const second = recent.get("a", async () => "new");
  old.resolve("old");
  expect([await first, await second]).toEqual(["old", "new"]);
  expect(await recent.get("a", async () => "newer")).toBe("new");
});

test("a failed look-up is not kept, and the number of entries is bounded", async () => {
  const recent = new Recent<number>(() => 0);
  await expect(recent.get("a", async () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await recent.get("a", async () => 1)).toBe(1);
  for (let i = 0; i < 10_000; i++) await recent.get(`b${i}`, async () => i);
  expect(await recent.get("a", async () => 2)).toBe(2);
});

test("a look-up that found nothing is repeated", async () => {
  const recent = new Recent<number>(() => 0);
  expect(await recent.get("a", async () => undefined)).toBe(undefined);
  expect(await recent.get("a", async () => 1)).toBe(1);
});
