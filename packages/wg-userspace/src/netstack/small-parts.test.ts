import { describe, expect, test } from "vitest";
import { addMs, instant } from "../base/instant.ts";
import { ip } from "../base/ip.ts";
import { PathMtuCache } from "./path-mtu.ts";
import { MAX_OUTSTANDING_PINGS, Pinger } from "./pinger.ts";

const now = instant(5_000);
const address = (i: number) => ip(`10.0.${i >> 8}.${i & 255}`);

describe("packet sizes of paths", () => {
  test("are remembered for ten minutes (RFC 8201 §4), then forgotten", () => {
    const cache = new PathMtuCache();
    expect(cache.get(address(1), now)).toBeUndefined();
    cache.set(address(1), 1300, now);
    expect([cache.get(address(1), addMs(now, 599_999)), cache.get(address(2), now)]).toEqual([1300, undefined]);
    expect(cache.get(address(1), addMs(now, 600_000))).toBeUndefined();
    expect(cache.get(address(1), now)).toBeUndefined();
    cache.set(address(1), 1300, now);
    cache.clear();
    expect(cache.get(address(1), now)).toBeUndefined();
  });

  test("are kept for 256 destinations: the one that was set longest ago makes room", () => {
    const cache = new PathMtuCache();
    for (let i = 0; i < 256; i++) cache.set(address(i), 1300 + i, now);
    cache.set(address(0), 1280, now); // set again
    expect([cache.get(address(0), now), cache.get(address(1), now)]).toEqual([1280, 1301]);
    cache.set(address(256), 1500, now);
    expect([0, 1, 2, 256].map((i) => cache.get(address(i), now))).toEqual([1280, undefined, 1302, 1500]);
  });
});

describe("outstanding pings", () => {
  test("are answered once, by their destination, by the same kind of message with the same data", () => {
    const pinger = new Pinger();
    const heard: string[] = [];
    const add = (kind: "icmp" | "tsmp", host: number, data: number) =>
      pinger.add(kind, address(host), Uint8Array.of(data), (rttMs) => void heard.push(`${kind} ${host} ${rttMs}`), now);
    add("icmp", 1, 5);
    const cancelled = add("icmp", 2, 6);
    add("tsmp", 2, 6);
    const reply = (kind: "icmp" | "tsmp", host: number, data: number) =>
      pinger.handleReply(kind, address(host), Uint8Array.of(data), addMs(now, 7));
    expect([reply("tsmp", 1, 5), reply("icmp", 3, 5), reply("icmp", 1, 6)]).toEqual([false, false, false]);
    cancelled.cancel();
    expect(pinger.size).toBe(2);
    expect([reply("icmp", 2, 6), reply("tsmp", 2, 6), reply("tsmp", 2, 6)]).toEqual([false, true, false]);
    expect(reply("icmp", 1, 5)).toBe(true);
    expect([heard, pinger.size]).toEqual([["tsmp 2 7", "icmp 1 7"], 0]);
  });

  test(`are ${MAX_OUTSTANDING_PINGS} at most: the oldest makes room`, () => {
    const pinger = new Pinger();
    const heard: number[] = [];
    for (let i = 0; i <= MAX_OUTSTANDING_PINGS; i++) {
      pinger.add("icmp", address(i), new Uint8Array(8), () => void heard.push(i), now);
      expect(pinger.size).toBe(Math.min(i + 1, MAX_OUTSTANDING_PINGS));
    }
    expect(pinger.handleReply("icmp", address(0), new Uint8Array(8), now)).toBe(false);
    expect(pinger.handleReply("icmp", address(1), new Uint8Array(8), now)).toBe(true);
    expect(heard).toEqual([1]);
  });
});
