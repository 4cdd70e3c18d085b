/** A firewall that ends every flow after a while, so that the direct path dies again and again. */
import { expect } from "vitest";
import { bothDirect, homePair, RELAY } from "./home-pair.ts";
import { Ticker } from "./sites.ts";

/** @param limit How long a flow may last, or how much it may carry. */
export function expectDyingPathIsLeftAlone(limit: { packets?: number; ms?: number }): void {
  const { net, sites, a, b } = homePair(61);
  sites.sites[0]!.router!.flowLimit = limit;
  const ticker = new Ticker(net, a, b, 99, 100, 300);
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
}
