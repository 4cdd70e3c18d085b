/** Bulk data on a direct path that is policed: TCP's throughput decides between it and the relay. */
import { expect, test } from "vitest";
import { bytesPerSecond, homePair, qualityOf } from "./home-pair.ts";
import { Transfer } from "./sites.ts";

test("bulk data leaves a path that is policed to 500 kbit/s for a relay that carries more, and is not drawn back", () => {
  const { net, sites, a, b } = homePair(56);
  net.relayBitsPerSecond = 3_000_000;
  sites.sites[1]!.router!.policer = { bitsPerSecond: 500_000, burstBytes: 16_000 };
  const transfer = new Transfer(net, a, b, 1_000_000_000, 1);
  expect(net.run(60_000, () => qualityOf(a, b).verdict !== undefined)).toBe(true);
  expect(qualityOf(a, b).verdict!.directRate! * 8000).toBeLessThan(600_000);
  net.run(5_000);
  expect(bytesPerSecond(net, transfer, 40_000) * 8).toBeGreaterThan(2_200_000);
  expect(transfer.sink.wrongAt).toBe(-1);
});
