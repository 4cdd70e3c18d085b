/** Direct paths that die: once, again and again, and with a router that comes back as another one. */
import { describe, expect, it } from "vitest";
import { bothDirect, homePair, RELAY } from "./home-pair.ts";
import { Ticker } from "./sites.ts";

describe("a firewall that ends flows", () => {
  const dying = (limit: { packets?: number; ms?: number }) => {
    const { net, sites, a, b } = homePair(61);
    sites.sites[0]!.router!.flowLimit = limit;
    const ticker = new Ticker(net, a, b, 99, 100, 300);
    return { net, a, b, ticker };
  };
  it.each([
    ["after 20 s", { ms: 20_000 }],
    ["after 100 packets", { packets: 100 }],
  ])("%s: the path is left alone for ever longer, and it is known how long it lasts", (_name, limit) => {
    const { net, a, b, ticker } = dying(limit);
    expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
    net.run(10 * 60_000);
    const silences = a.events.filter((text) => text.endsWith(RELAY)).length;
    expect(silences).toBeLessThanOrEqual(7);
    const { finder } = a.engine.peerStatus(b.engine.publicKey)!.endpoint;
    const known = finder!.candidates.flatMap((one) => finder!.failuresOf(one, net.now) ?? []);
    expect(known[0]!.count).toBeGreaterThanOrEqual(3);
    expect(known[0]!.lifeMs).toBeGreaterThan(1_000);
    expect(known[0]!.lifeMs).toBeLessThan(30_000);
    expect(ticker.intact).toBe(true);
  });

  it("one death is no habit: the path is back within seconds", () => {
    const { net, sites, a, b } = homePair(62);
    new Ticker(net, a, b, 99, 100, 300);
    expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
    net.run(5_000);
    for (const { router } of sites.sites) router!.flush();
    net.run(200);
    expect(net.run(8_000, () => bothDirect(a, b))).toBe(true);
  });
});

it("a router that comes back with other outside ports: the path is back within 5 s, since STUN is asked at once", () => {
  for (const seed of [71, 72, 73]) {
    const { net, sites, a, b } = homePair(seed);
    new Ticker(net, a, b, 99, 100, 300);
    expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
    net.run(3_000);
    for (const { router } of sites.sites) {
      router!.options = { ...router!.options, ports: "random" };
      router!.flush();
    }
    expect(net.run(3_000, () => !a.isDirectTo(b) || !b.isDirectTo(a))).toBe(true);
    expect(
      net.run(5_000, () => bothDirect(a, b)),
      `seed ${seed}`,
    ).toBe(true);
  }
});
