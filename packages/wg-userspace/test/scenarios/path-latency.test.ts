/** A direct path that works, but is slower than the relay. */
import { describe, expect, it } from "vitest";
import { bothDirect, changesSince, homePair, qualityOf, REGION, RELAY } from "./home-pair.ts";
import { Ticker } from "./sites.ts";

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

  it("a relay that is only somewhat faster is not used", () => {
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
