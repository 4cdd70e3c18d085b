import { describe, expect, it } from "vitest";
import { instant } from "wg-userspace/base/instant";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { AbsentPeers } from "./absent-peers.ts";

const PEER = "agent";
const never = (): undefined => undefined;

/**
 * Times at which the relay is redialled in one period. Whatever is sent after that makes the relay report the peer again at once.
 */
function dials(absent: AbsentPeers, fromMs: number, toMs: number): number[] {
  const times: number[] = [];
  absent.reported(PEER, instant(fromMs));
  for (let next = absent.nextTimeout(); next !== undefined && next <= toMs; next = absent.nextTimeout()) {
    expect(absent.handleTimeout(never, next)).toBe(true);
    times.push(next);
    absent.reported(PEER, next);
  }
  absent.forget(PEER);
  return times;
}

describe("a peer that the relay does not find", () => {
  it("is a reason to dial the relay again once it was absent for four seconds, however seldom that is reported", () => {
    const absent = new AbsentPeers(nodeRandom);
    expect(absent.nextTimeout()).toBeUndefined();
    absent.reported(PEER, instant(1_000));
    absent.reported(PEER, instant(2_000));
    expect(absent.nextTimeout()).toBe(5_000);
    expect(absent.handleTimeout(never, instant(4_999))).toBe(false);
    expect(absent.handleTimeout(never, instant(5_000))).toBe(true);
    expect(absent.nextTimeout()).toBeUndefined();
  });

  it("is none once it was heard", () => {
    const absent = new AbsentPeers(nodeRandom);
    absent.reported(PEER, instant(1_000));
    expect(absent.handleTimeout(() => instant(1_001), instant(5_000))).toBe(false);
    expect(absent.nextTimeout()).toBeUndefined();
    absent.reported(PEER, instant(9_000));
    expect(absent.handleTimeout(() => instant(1_001), instant(13_000))).toBe(true);
  });

  it("is one although it is heard, when the reports go on", () => {
    const absent = new AbsentPeers(nodeRandom);
    absent.reported(PEER, instant(1_000));
    absent.reported(PEER, instant(3_001));
    expect(absent.handleTimeout(() => instant(4_000), instant(5_000))).toBe(true);
  });

  it("makes the pauses between dials longer up to a minute, and short again after a calm time", () => {
    const absent = new AbsentPeers(nodeRandom);
    const times = dials(absent, 0, 900_000);
    for (const [i, at] of times.slice(1).entries()) {
      const limit = Math.min(60_000, 5_000 * 2 ** i);
      expect(at - times[i]!).toBeGreaterThanOrEqual(Math.max(4_000, limit / 2));
      expect(at - times[i]!).toBeLessThanOrEqual(Math.max(4_000, limit));
    }
    expect(dials(absent, 2_000_000, 2_020_000).length).toBeGreaterThanOrEqual(3);
  });

  it("is forgotten with the peer", () => {
    const absent = new AbsentPeers(nodeRandom);
    absent.reported(PEER, instant(0));
    absent.forget(PEER);
    expect(absent.nextTimeout()).toBeUndefined();
  });
});
