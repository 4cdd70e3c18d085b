/** A direct path that loses many packets both ways, against a relay that loses none. */
import { describe, expect, it } from "vitest";
import { bothDirect, changesSince, finderOf, homePair, qualityOf, RELAY } from "./home-pair.ts";
import { Ticker } from "./sites.ts";

describe("a session on a path that loses packets", () => {
  it.each([0.3, 0.2])("goes to the clean relay when %d of the packets are lost each way, and stays there", (loss) => {
    const { net, a, b, core } = homePair(51);
    const ticker = new Ticker(net, a, b, 99, 40, 400);
    expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
    core.options = { ...core.options, loss };
    // For its loss, or because it fell silent again and again: on such a path that is a matter of chance.
    const leftAlone = () =>
      finderOf(a, b).candidates.some((one) => (finderOf(a, b).failuresOf(one, net.now)?.heldUntil ?? 0) > net.now);
    const byChoice = () => qualityOf(a, b).prefersRelay || leftAlone();
    expect(net.run(60_000, () => a.pathTo(b) === RELAY && byChoice())).toBe(true);
    const changes = a.events.length;
    net.run(5_000);
    ticker.resetGap();
    net.run(150_000);
    expect(ticker.longestGapMs).toBeLessThan(500);
    expect(changesSince(a, changes)).toBeLessThanOrEqual(2);
    expect(ticker.intact).toBe(true);
  });
});
