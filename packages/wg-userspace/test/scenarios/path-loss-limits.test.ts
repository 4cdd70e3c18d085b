/** Losses in one direction only, or too few to leave a direct path. */
import { describe, expect, it } from "vitest";
import { bothDirect, homePair, qualityOf, RELAY } from "./home-pair.ts";
import { Ticker } from "./sites.ts";

describe("a session on a path that loses packets", () => {
  it("goes by relay in the lossy direction when only that one loses, and comes back when the loss is over", () => {
    const { net, sites, a, b } = homePair(52);
    new Ticker(net, a, b, 99, 40, 400);
    expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
    sites.sites[1]!.router!.inboundLoss = 0.3;
    expect(net.run(60_000, () => qualityOf(a, b).verdict !== undefined)).toBe(true);
    expect(a.pathTo(b)).toBe(RELAY);
    expect(qualityOf(a, b).verdict).toMatchObject({ reason: "loss" });
    sites.sites[1]!.router!.inboundLoss = 0;
    expect(net.run(120_000, () => bothDirect(a, b))).toBe(true);
    net.run(120_000);
    expect(bothDirect(a, b)).toBe(true);
  });

  it("stays direct when one packet in a hundred is lost", () => {
    const { net, a, b, core } = homePair(53);
    core.options = { ...core.options, loss: 0.01 };
    new Ticker(net, a, b, 99, 40, 400);
    expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
    for (let i = 0; i < 40; i++) {
      net.run(4_000);
      expect(qualityOf(a, b).prefersRelay || qualityOf(b, a).prefersRelay).toBe(false);
    }
  });
});
