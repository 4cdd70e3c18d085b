/** A direct path that loses many packets both ways, against a relay that loses none. */
import { describe, expect, it } from "vitest";
import { bothDirect, changesSince, homePair, qualityOf, RELAY } from "./home-pair.ts";
import { Ticker } from "./sites.ts";

describe("a session on a path that loses packets", () => {
  it.each([0.3, 0.2])("goes to the clean relay when %d of the packets are lost each way, and stays there", (loss) => {
    // With other seeds the path falls silent twice before twelve heartbeats are sent, and is avoided for that.
    const { net, a, b, core } = homePair(58);
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
});
