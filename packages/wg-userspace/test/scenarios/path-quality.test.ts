/** A direct path that works, but loses packets or is slow, against a relay that is better. */
import { describe, expect, it } from "vitest";
import { bothDirect, changesSince, homePair, qualityOf, REGION, RELAY } from "./home-pair.ts";
import { Ticker } from "./sites.ts";

describe("a session on a path that loses packets", () => {
  it.each([0.3, 0.2])("goes to the clean relay when %d of the packets are lost each way, and stays there", (loss) => {
    const { net, a, b, core } = homePair(51);
    const ticker = new Ticker(net, a, b, 99, 40, 400);
    expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
    core.options = { ...core.options, loss };
    expect(net.run(60_000, () => a.pathTo(b) === RELAY && qualityOf(a, b).prefersRelay)).toBe(true);
    const changes = a.events.length;
    net.run(5_000);
    ticker.resetGap();
    net.run(150_000);
    expect(ticker.longestGapMs).toBeLessThan(500);
    expect(changesSince(a, changes)).toBeLessThanOrEqual(2);
    expect(ticker.intact).toBe(true);
  });

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

describe("round trips", () => {
  it("a direct path of 300 ms is left for a relay of 10 ms, and taken again when it is as fast", () => {
    const { net, a, b, core } = homePair(54);
    net.relayDelayMs.set(REGION, 5);
    core.options = { ...core.options, delayMs: 150 };
    const ticker = new Ticker(net, a, b, 99, 40, 400);
    expect(net.run(30_000, () => qualityOf(a, b).verdict?.reason === "latency")).toBe(true);
    expect(net.run(30_000, () => qualityOf(b, a).verdict?.reason === "latency")).toBe(true);
    expect([a.pathTo(b), b.pathTo(a)]).toEqual([RELAY, RELAY]);
    expect(qualityOf(a, b).verdict).toMatchObject({ directRttMs: expect.closeTo(300, -1), relayRttMs: 10 });
    const changes = a.events.length;
    net.run(100_000);
    expect(changesSince(a, changes)).toBe(0);
    core.options = { ...core.options, delayMs: 4 };
    expect(net.run(120_000, () => bothDirect(a, b))).toBe(true);
    expect(ticker.intact).toBe(true);
  });

  it("a relay that is somewhat faster does not matter", () => {
    const { net, a, b, core } = homePair(55);
    net.relayDelayMs.set(REGION, 30);
    core.options = { ...core.options, delayMs: 50 };
    new Ticker(net, a, b, 99, 40, 400);
    expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
    net.run(60_000);
    expect(bothDirect(a, b)).toBe(true);
  });
});

it("a relay that falls silent while it is used by choice is left for the direct path within seconds", () => {
  const { net, a, b, core } = homePair(58);
  net.relayDelayMs.set(REGION, 5);
  core.options = { ...core.options, delayMs: 150 };
  const ticker = new Ticker(net, a, b, 99, 40, 400);
  expect(net.run(60_000, () => a.pathTo(b) === RELAY && b.pathTo(a) === RELAY && qualityOf(b, a).prefersRelay)).toBe(
    true,
  );
  net.relaysDown.add(REGION);
  ticker.resetGap();
  net.run(20_000);
  expect(ticker.longestGapMs).toBeLessThan(7_000);
  expect(bothDirect(a, b)).toBe(true);
  expect(ticker.intact).toBe(true);
});
