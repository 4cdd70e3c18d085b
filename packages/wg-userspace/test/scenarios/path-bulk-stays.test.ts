/** Bulk data on a direct path that is policed: TCP's throughput decides between it and the relay. */
import { expect, test } from "vitest";
import { bothDirect, bytesPerSecond, homePair, qualityOf } from "./home-pair.ts";
import { Transfer } from "./sites.ts";

test("bulk data stays on a policed path that carries more than the relay", () => {
  const { net, sites, a, b } = homePair(57);
  net.relayBitsPerSecond = 250_000;
  sites.sites[1]!.router!.policer = { bitsPerSecond: 1_000_000, burstBytes: 32_000 };
  const transfer = new Transfer(net, a, b, 1_000_000_000, 1);
  expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
  net.run(12_000);
  // Trials of the relay cost little, and become rare.
  expect(bytesPerSecond(net, transfer, 50_000) * 8).toBeGreaterThan(600_000);
  expect(qualityOf(a, b).verdict).toBeUndefined();
});
