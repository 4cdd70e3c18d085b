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
  ])("%s", (_name, a, rttA, b, rttB, better) => {
    expect(isBetter(candidate(a, rttA), candidate(b, rttB))).toBe(better);
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
  expect(mayProbe(ip("224.0.0.1"))).toBe(false);
  expect(mayProbe(ip("fe80::1"))).toBe(false);
  expect(needsOpening(ip("8.8.8.8"))).toBe(true);
  expect(needsOpening(ip("192.168.1.1"))).toBe(false);
  expect(needsOpening(ip("2001:db8::1"))).toBe(false);
});

it("loss counts the last 32 pings", () => {
  const one = candidate("1.1.1.1:1", 1);
  expect(one.loss).toBeUndefined();
  for (const answered of [true, true, true, false]) one.recordOutcome(answered);
  expect(one.loss).toBe(0.25);
  for (let i = 0; i < 32; i++) one.recordOutcome(true);
  expect(one.loss).toBe(0);
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

  it("goes down the sizes, two tries each, and rests", () => {
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

  it("believes only an answer to its own probe, of exactly that size", () => {
    const search = new MtuSearch(8920);
    search.pathChanged(0, now);
    expect(search.answered(8952, now)).toBe(false);
    search.probe(now);
    expect(search.answered(9000, now)).toBe(false);
    expect(search.mtu).toBe(1280);
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

  it("does not fall back over an ordinary answer alone", () => {
    const search = new MtuSearch(1420);
    search.pathChanged(1420, now);
    for (let i = 0; i < 10; i++) expect(search.answered(1310, now)).toBe(false);
    expect(search.mtu).toBe(1420);
  });

  it("tries nothing where the node itself cannot send more", () => {
    const search = new MtuSearch(1280);
    search.pathChanged(0, now);
    expect(search.nextProbeAt).toBe(Number.POSITIVE_INFINITY);
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
