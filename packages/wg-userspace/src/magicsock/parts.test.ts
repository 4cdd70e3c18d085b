import { describe, expect, it } from "vitest";
import { addMs, instant } from "../base/instant.ts";
import { ip, parseAddrPort } from "../base/ip.ts";
import { addressClass, mayProbe, needsOpening } from "./address-class.ts";
import { Candidate, isBetter } from "./candidate.ts";
import { MtuSearch } from "./mtu-search.ts";
import { udpPath } from "./path.ts";
import { PortChangePolicy } from "./port-change.ts";
import { PROBE_BURST, ProbeBudget } from "./probe-budget.ts";

function candidate(address: string, rttMs: number): Candidate {
  const made = new Candidate(udpPath(parseAddrPort(address)!));
  made.rttMs = rttMs;
  return made;
}

describe("which of two paths is better", () => {
  it.each([
    ["a much faster one", "1.1.1.1:1", 10, "2.2.2.2:2", 50, true],
    ["a slower one", "1.1.1.1:1", 50, "2.2.2.2:2", 10, false],
    ["an equal one", "1.1.1.1:1", 20, "2.2.2.2:2", 20, false],
    ["one that is 1 % faster", "1.1.1.1:1", 99, "2.2.2.2:2", 100, false],
    ["a private one, a little slower", "10.0.0.1:1", 11, "2.2.2.2:2", 10, true],
    ["a private one, far slower", "10.0.0.1:1", 40, "2.2.2.2:2", 10, false],
    ["IPv6 of the same speed", "[2001:db8::1]:1", 20, "2.2.2.2:2", 20, true],
    ["loopback against private", "127.0.0.1:1", 1, "10.0.0.1:1", 1, true],
    ["one that is 2 % faster", "1.1.1.1:1", 98, "2.2.2.2:2", 100, true],
    ["one that is 1 % faster than a private one", "1.1.1.1:1", 99, "10.0.0.1:2", 100, false],
    ["IPv6 that is as much slower as it is worth", "[2001:db8::1]:1", 100, "2.2.2.2:2", 90, false],
    ["one of two that take no time at all", "10.0.0.1:1", 0, "10.0.0.2:2", 0, false],
  ])("%s", (_name, a, rttA, b, rttB, better) => {
    expect(isBetter(candidate(a, rttA), candidate(b, rttB))).toBe(better);
  });

  it("one that loses over 15 % less is better, however slow, after eight pings", () => {
    const slow = candidate("2.2.2.2:2", 500);
    const fast = candidate("10.0.0.1:1", 1);
    const record = (one: Candidate, text: string) => {
      for (const c of text) one.recordOutcome(c === "1");
    };
    record(slow, "1111111");
    record(fast, "0011111");
    expect([isBetter(slow, fast), isBetter(fast, slow)]).toEqual([false, true]); // seven tell nothing
    record(fast, "1");
    expect(fast.knownLoss).toBe(0.25);
    expect([isBetter(slow, fast), isBetter(fast, slow)]).toEqual([true, false]);
    record(slow, "0"); // an eighth as well: the gap is an eighth
    expect([isBetter(slow, fast), isBetter(fast, slow)]).toEqual([false, true]);
  });

  it("equal loss on both makes no difference", () => {
    const one = candidate("10.0.0.1:1", 10);
    const other = candidate("2.2.2.2:2", 10);
    for (const path of [one, other]) for (let i = 0; i < 10; i++) path.recordOutcome(i % 2 === 0);
    expect([isBetter(one, other), isBetter(other, one)]).toEqual([true, false]);
  });

  it("a path is never better than itself, and two are never better than each other", () => {
    const one = candidate("10.0.0.1:1", 10);
    expect(isBetter(one, one)).toBe(false);
    for (const rtt of [0, 1, 9, 10, 11, 100]) {
      const other = candidate("2.2.2.2:2", rtt);
      expect(isBetter(one, other) && isBetter(other, one)).toBe(false);
    }
  });
});

it("classes of addresses", () => {
  expect(
    ["127.9.9.9", "169.254.1.1", "10.1.1.1", "172.31.0.1", "192.168.0.1", "100.64.0.1", "8.8.8.8"].map((text) =>
      addressClass(ip(text)),
    ),
  ).toEqual(["loopback", "link-local", "private", "private", "private", "public", "public"]);
  expect(["::1", "fe80::1", "fd00::1", "2001:db8::1"].map((text) => addressClass(ip(text)))).toEqual([
    "loopback",
    "link-local",
    "private",
    "public",
  ]);
  expect(needsOpening(ip("8.8.8.8"))).toBe(true);
  expect(needsOpening(ip("192.168.1.1"))).toBe(false);
  expect(needsOpening(ip("2001:db8::1"))).toBe(false);
});

it.each([
  ["10.0.0.1", true],
  ["223.255.255.255", true],
  ["224.0.0.1", false],
  ["0.0.0.0", false],
  ["0.1.2.3", false],
  ["169.254.1.1", true],
  ["169.254.169.254", false],
  ["2001:db8::1", true],
  ["::1", true],
  ["::", false],
  ["ff02::1", false],
  ["fe80::1", false],
  ["fd00::1", true],
  ["fd00:ec2::254", false],
  ["fd60:627a:a42b::1", false],
  ["fd7a:115c:a1e0::1", false],
])("security 23: may %s be probed? %s", (text, may) => {
  expect(mayProbe(ip(text))).toBe(may);
});

it("a candidate is unnamed at first", () => {
  expect(candidate("10.0.0.1:1", 1)).toMatchObject({ fromCoordinator: false, fromCallMeMaybe: false });
});

it("loss counts the last 32 pings", () => {
  const one = candidate("1.1.1.1:1", 1);
  expect(one.loss).toBeUndefined();
  for (const answered of [true, true, true, false]) one.recordOutcome(answered);
  expect(one.loss).toBe(0.25);
  for (let i = 0; i < 32; i++) one.recordOutcome(true);
  expect(one.loss).toBe(0);
  for (let i = 0; i < 16; i++) one.recordOutcome(i % 2 === 0);
  expect([4, 16, 31, 32].map((count) => one.answeredOf(count))).toEqual([2, 8, 23, 24]);
});

it("the smallest of the last eight round trips is kept beside the last one", () => {
  const one = new Candidate(udpPath(parseAddrPort("1.1.1.1:1")!));
  expect(one.minRttMs).toBe(Number.POSITIVE_INFINITY);
  one.recordRoundTrip(5);
  for (let i = 0; i < 7; i++) one.recordRoundTrip(20 + i);
  expect([one.minRttMs, one.rttMs]).toEqual([5, 26]);
  one.recordRoundTrip(30);
  expect([one.minRttMs, one.rttMs]).toEqual([20, 30]);
});

it("security 23: the address probed longest ago is forgotten first, and then gets a fresh burst", () => {
  const budget = new ProbeBudget();
  const now = instant(1_000);
  const take = (host: number, count: number) => {
    const address = ip(`10.0.${host >> 8}.${host & 255}`);
    return Array.from({ length: count }, () => budget.take(address, now)).filter(Boolean).length;
  };
  expect(take(0, 100)).toBe(PROBE_BURST);
  expect(take(1, 100)).toBe(PROBE_BURST);
  for (let host = 2; host < 2048; host++) take(host, 1);
  expect(take(0, 1)).toBe(0); // 2047 others came after it: still known
  take(2048, 1); // now host 1 was asked longest ago
  expect(take(0, 1)).toBe(0);
  expect(take(1, 100)).toBe(PROBE_BURST);
});

describe("the packet size search", () => {
  const now = instant(1_000);

  it("takes the largest size that is answered", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(0, now);
    expect(search.probe(now)).toBe(1452);
    expect(search.answered(1452, now)).toBe(true);
    expect(search.mtu).toBe(1420);
  });

  it("goes down the sizes, with two tries each, and then rests", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(0, now);
    const sizes: number[] = [];
    for (let at = now; sizes.length < 20; at = addMs(at, 1_000)) {
      const bytes = search.probe(at);
      if (bytes === undefined) break;
      sizes.push(bytes - 32);
    }
    expect(sizes).toEqual([1420, 1420, 1400, 1400, 1340, 1340]);
    expect(search.mtu).toBe(1280);
    expect(search.nextProbeAt).toBeGreaterThan(now + 60_000);
  });

  it("accepts only an answer to its own probe, of exactly that size", () => {
    const search = new MtuSearch(8920);
    search.pathChanged(0, now);
    expect(search.answered(1452, now)).toBe(false);
    search.probe(now);
    expect(search.answered(1460, now)).toBe(false);
    expect(search.answered(8952, now)).toBe(false);
    expect(search.mtu).toBe(1280);
  });

  it("tries jumbo frames as soon as the size of Ethernet was answered, and keeps that size if they are not", () => {
    const search = new MtuSearch(8920);
    search.pathChanged(0, now);
    expect(search.probe(now)).toBe(1452);
    expect(search.answered(1452, now)).toBe(true);
    expect(search.nextProbeAt).toBe(now);
    expect([search.probe(now), search.probe(now), search.probe(now)]).toEqual([8952, 8952, undefined]);
    expect(search.mtu).toBe(1420);
    expect(search.nextProbeAt).toBeGreaterThan(now + 60_000);
    expect(search.probe(now)).toBe(8952); // the path is measured again
    expect(search.answered(8952, now)).toBe(true);
    expect(search.mtu).toBe(8920);
    expect(search.probe(now)).toBeUndefined();
  });

  it("tries the size of the loopback interface once bulk data leaves, and keeps that of jumbo frames if it is not answered", () => {
    const search = new MtuSearch(65_456);
    search.pathChanged(0, now);
    for (const bytes of [1452, 8952]) {
      expect(search.probe(now)).toBe(bytes);
      expect(search.answered(bytes, now)).toBe(true);
    }
    expect([search.nextProbeAt, search.probe(now)]).toEqual([undefined, undefined]);
    expect([1, 127, 129].map((packets) => search.noteData(packets, now))).toEqual([false, false, false]);
    expect([search.noteData(128, now), search.nextProbeAt]).toEqual([true, now]);
    expect(search.noteData(128, now)).toBe(false); // once
    expect([search.probe(now), search.probe(now), search.probe(now)]).toEqual([65_488, 65_488, undefined]);
    expect([search.mtu, search.nextProbeAt]).toEqual([8920, now + 600_000]);
    expect(search.probe(now)).toBe(65_488);
    expect(search.answered(65_488, now)).toBe(true);
    expect([search.mtu, search.nextProbeAt]).toEqual([65_456, undefined]);
  });

  it("goes on to the largest size at once where bulk data left before jumbo frames were answered", () => {
    const search = new MtuSearch(65_456);
    search.pathChanged(1420, now);
    expect(search.probe(now)).toBe(8952);
    expect(search.noteData(128, now)).toBe(false);
    expect(search.answered(8952, now)).toBe(true);
    expect(search.nextProbeAt).toBe(now);
    expect(search.probe(now)).toBe(65_488);
  });

  it("tries no larger size than its own for bulk data", () => {
    const search = new MtuSearch(8920);
    search.pathChanged(8920, now);
    expect([search.noteData(128, now), search.nextProbeAt]).toEqual([false, undefined]);
  });

  it("confirms the largest size while there is a flow, and every other one always", () => {
    const search = new MtuSearch(65_456);
    search.pathChanged(8920, now);
    expect([search.beatBytes(true), search.beatBytes(false)]).toEqual([8952, 8952]);
    search.pathChanged(65_456, now);
    expect([search.beatBytes(true), search.beatBytes(false)]).toEqual([65_488, 1310]);
    // A small ping says nothing about the large size: only the one before counts as lost.
    for (let i = 0; i < 5; i++) expect(search.answered(1310, now)).toBe(false);
    expect(search.mtu).toBe(65_456);
  });

  it("does not try jumbo frames where the size of Ethernet is too large", () => {
    const search = new MtuSearch(8920);
    search.pathChanged(0, now);
    expect([search.probe(now), search.probe(now), search.probe(now)]).toEqual([1452, 1452, 1432]);
    expect(search.answered(1432, now)).toBe(true);
    expect(search.probe(search.nextProbeAt!)).toBe(1452);
    expect(search.mtu).toBe(1400);
  });

  it("begins again with the size of Ethernet after jumbo frames were lost", () => {
    const search = new MtuSearch(8920);
    search.pathChanged(8920, now);
    for (const _ of ["one may be chance", "two are not"]) {
      expect(search.heartbeatBytes).toBe(8952);
      search.answered(1310, now);
    }
    expect(search.mtu).toBe(1280);
    expect(search.probe(search.nextProbeAt!)).toBe(1452);
  });

  it("falls back when large confirmations are lost while ordinary ones are answered", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(1420, now);
    expect(search.mtu).toBe(1420);
    expect(search.heartbeatBytes).toBe(1452);
    expect(search.answered(1310, now)).toBe(false); // one may be chance
    expect(search.heartbeatBytes).toBe(1452);
    expect(search.answered(1310, now)).toBe(true);
    expect(search.mtu).toBe(1280);
    expect(search.heartbeatBytes).toBe(1310);
  });

  it("an answered confirmation cancels the loss of the one before", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(1420, now);
    for (let i = 0; i < 5; i++) {
      expect(search.heartbeatBytes).toBe(1452);
      expect(search.answered(1310, now)).toBe(false);
      expect(search.heartbeatBytes).toBe(1452);
      expect(search.answered(1452, now)).toBe(false);
      expect(search.answered(1310, now)).toBe(false); // no large one is under way
    }
    expect(search.mtu).toBe(1420);
  });

  it("one lost confirmation counts once, however many ordinary answers follow", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(1420, now);
    expect(search.heartbeatBytes).toBe(1452);
    for (let i = 0; i < 5; i++) expect(search.answered(1310, now)).toBe(false);
    expect(search.mtu).toBe(1420);
  });

  it("after a fall it looks again a minute later, and then for one size after the other", () => {
    const search = new MtuSearch(8920);
    search.pathChanged(8920, now);
    expect(search.nextProbeAt).toBeUndefined(); // nothing is larger
    for (let i = 0; i < 2; i++) {
      expect(search.heartbeatBytes).toBe(8952);
      search.answered(1310, now);
    }
    expect(search.nextProbeAt).toBe(now + 60_000);
    const later = addMs(now, 60_000);
    expect(search.probe(later)).toBe(1452);
    expect(search.nextProbeAt).toBe(later + 1_000);
    expect(search.answered(1452, later)).toBe(true);
    expect([search.mtu, search.confirmed, search.nextProbeAt]).toEqual([1420, 1420, later]);
    expect(search.probe(later)).toBe(8952);
    expect(search.answered(8952, later)).toBe(true);
    expect([search.mtu, search.confirmed, search.nextProbeAt]).toEqual([8920, 8920, undefined]);
    // Earlier misses no longer count.
    expect(search.heartbeatBytes).toBe(8952);
    expect(search.answered(1310, later)).toBe(false);
  });

  it("looks no further where the largest size of this node is in use", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(0, now);
    expect(search.probe(now)).toBe(1452);
    expect(search.answered(1452, now)).toBe(true);
    expect(search.nextProbeAt).toBeUndefined();
    for (let i = 0; i < 2; i++) {
      expect(search.heartbeatBytes).toBe(1452);
      search.answered(1310, now);
    }
    expect([search.mtu, search.nextProbeAt]).toEqual([1280, now + 60_000]);
  });

  it("a path that carries 1280 and no more confirms nothing", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(0, now);
    expect([search.confirmed, search.heartbeatBytes]).toEqual([0, 1310]);
    expect(search.answered(1312, now)).toBe(false);
    expect([search.mtu, search.confirmed]).toEqual([1280, 0]);
  });

  it("starts with what the other path was seen to carry, and forgets the losses of the one before", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(1420, now);
    expect(search.heartbeatBytes).toBe(1452);
    search.answered(1310, now);
    expect(search.heartbeatBytes).toBe(1452);
    search.pathChanged(1400, now);
    expect(search.mtu).toBe(1400);
    expect(search.answered(1310, now)).toBe(false); // that beat was the other path's
    expect(search.heartbeatBytes).toBe(1432);
    expect(search.answered(1310, now)).toBe(false);
    expect(search.mtu).toBe(1400);
  });

  it("after the second try of a size the next smaller one is tried, and a late answer to it counts", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(0, now);
    search.probe(now);
    expect(search.answered(1432, now)).toBe(false); // not probed yet
    search.probe(now);
    expect(search.probe(now)).toBe(1432);
    expect(search.answered(1432, now)).toBe(true);
    expect(search.mtu).toBe(1400);
  });

  it("pings of the usual size up to that of the path are ordinary", () => {
    const search = new MtuSearch(1420);
    expect([126, 1309, 1310, 1312, 1313, 1452].map((bytes) => search.isOrdinary(bytes))).toEqual([
      false,
      false,
      true,
      true,
      false,
      false,
    ]);
    search.pathChanged(1420, now);
    expect([1309, 1310, 1452, 1453].map((bytes) => search.isOrdinary(bytes))).toEqual([false, true, true, false]);
  });

  it("does not fall back over an ordinary answer alone", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(1420, now);
    for (let i = 0; i < 10; i++) expect(search.answered(1310, now)).toBe(false);
    expect(search.mtu).toBe(1420);
  });

  it("tries nothing where the node itself cannot send more", () => {
    const search = new MtuSearch(1280);
    search.pathChanged(0, now);
    expect(search.nextProbeAt).toBeUndefined();
    expect(search.probe(now)).toBeUndefined();
    expect(search.nextProbeAt).toBeUndefined();
  });
});

it("another local port is taken rarely, and at once again after a success", () => {
  const policy = new PortChangePolicy();
  expect([0, 5_000, 10_000, 60_000, 70_000, 400_000].map((ms) => policy.take(instant(ms)))).toEqual([
    true,
    false,
    true,
    false,
    true,
    false,
  ]);
  policy.reset();
  expect(policy.take(instant(400_001))).toBe(true);
});

it("security 23: the probe budget is per address, and its table is bounded", () => {
  const budget = new ProbeBudget();
  const now = instant(1_000);
  const granted = Array.from({ length: 100 }, () => budget.take(ip("203.0.113.1"), now)).filter(Boolean);
  expect(granted).toHaveLength(PROBE_BURST);
  expect(budget.take(ip("203.0.113.2"), now)).toBe(true);
  expect(budget.take(ip("203.0.113.1"), addMs(now, 1_000))).toBe(true);
});
