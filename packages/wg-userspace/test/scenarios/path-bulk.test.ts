/** Bulk data on a direct path that is policed: what TCP achieves decides between it and the relay. */
import { describe, expect, it } from "vitest";
import { bothDirect, homePair, qualityOf } from "./home-pair.ts";
import { Transfer } from "./sites.ts";

describe("bulk data", () => {
  /** Bytes per second that arrive at the other end. */
  const rateOver = (net: { run(ms: number): boolean }, transfer: Transfer, ms: number): number => {
    const before = transfer.sink.received;
    net.run(ms);
    return ((transfer.sink.received - before) * 1000) / ms;
  };

  it("leaves a path that is policed to 500 kbit/s for a relay that carries more, and is not drawn back", () => {
    const { net, sites, a, b } = homePair(56);
    net.relayBitsPerSecond = 3_000_000;
    sites.sites[1]!.router!.policer = { bitsPerSecond: 500_000, burstBytes: 16_000 };
    const transfer = new Transfer(net, a, b, 1_000_000_000, 1);
    expect(net.run(60_000, () => qualityOf(a, b).verdict !== undefined)).toBe(true);
    expect(qualityOf(a, b).verdict!.directRate! * 8000).toBeLessThan(600_000);
    net.run(5_000);
    expect(rateOver(net, transfer, 40_000) * 8).toBeGreaterThan(2_200_000);
    expect(transfer.sink.wrongAt).toBe(-1);
  });

  it("stays on a policed path that carries more than the relay", () => {
    const { net, sites, a, b } = homePair(57);
    net.relayBitsPerSecond = 250_000;
    sites.sites[1]!.router!.policer = { bitsPerSecond: 1_000_000, burstBytes: 32_000 };
    const transfer = new Transfer(net, a, b, 1_000_000_000, 1);
    expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
    net.run(12_000);
    // Trials of the relay cost little, and become rare.
    expect(rateOver(net, transfer, 50_000) * 8).toBeGreaterThan(600_000);
    expect(qualityOf(a, b).verdict).toBeUndefined();
  });
});
