/** Direct paths that fail once, also with a router that returns with other mappings. */
import { expect, it } from "vitest";
import { bothDirect, homePair } from "./home-pair.ts";
import { Ticker } from "./sites.ts";

it("a single failure is not held against the path: it is back within seconds", () => {
  const { net, sites, a, b } = homePair(62);
  new Ticker(net, a, b, 99, 100, 300);
  expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
  net.run(5_000);
  for (const { router } of sites.sites) router!.flush();
  net.run(200);
  expect(net.run(8_000, () => bothDirect(a, b))).toBe(true);
});

it("a router that comes back with other outside ports: the path is back within 5 s, since STUN is queried at once", () => {
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
