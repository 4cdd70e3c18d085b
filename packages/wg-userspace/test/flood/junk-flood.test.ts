import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { COOKIE_REPLIES_PER_SECOND, DEFAULT_UNDER_LOAD_INITIATIONS_PER_SECOND } from "../../src/wireguard/constants.ts";
import type { Measured } from "./junk-flood.ts";

/** The outcome of every kind of junk. */
const REASONS = [
  "bad-mac",
  "bad-tag",
  "rate-limited",
  "replayed",
  "too-short",
  "under-load",
  "unknown-index",
  "unknown-peer",
  "unknown-type",
];
/** Less than seven bytes for each datagram: nothing of them is kept. */
const HEAP_GROWTH_BYTES = 320 * 1024;

it("security 27: 50,000 junk datagrams a second cost a live tunnel no packet, bounded work and no memory", async () => {
  const program = join(import.meta.dirname, "junk-flood.ts");
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", program]);
  const measured = JSON.parse(stdout) as Measured;
  expect(measured.junk).toBe(50_000);
  expect([measured.pings, measured.pongs]).toEqual([20, 20]);
  expect(measured.agreements).toBeLessThanOrEqual(DEFAULT_UNDER_LOAD_INITIATIONS_PER_SECOND);
  expect(measured.hashes).toBeLessThanOrEqual(measured.junk);
  expect(measured.answers).toBeLessThanOrEqual(1.5 * COOKIE_REPLIES_PER_SECOND);
  expect(measured.heapGrowthBytes).toBeLessThan(HEAP_GROWTH_BYTES);
  expect(measured.bufferGrowthBytes).toBeLessThan(64 * 1024);
  expect(Object.keys(measured.drops).sort()).toEqual(REASONS);
});
