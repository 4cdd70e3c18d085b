import { describe, expect, test } from "vitest";
import { instant } from "../base/instant.ts";
import { seededRandom } from "../testing/wireguard-link.ts";
import { STAGED_PACKETS_PER_PEER } from "./constants.ts";
import { IndexTable } from "./index-table.ts";
import { addressLength, declaredLength, paddedLength } from "./inner-packet.ts";
import { LoadMeter, SourceRateLimiter } from "./rate-limiter.ts";
import { StagingBudget, StagingQueue } from "./staging-queue.ts";

describe("paddedLength", () => {
  test.each([
    [0, 1280, 0],
    [1, 1280, 16],
    [16, 1280, 16],
    [17, 1280, 32],
    [1279, 1280, 1280],
    [1280, 1280, 1280],
    [1270, 1275, 1275],
    [1281, 1280, 1296],
    [2560, 1280, 2560],
    [2000, 1275, 1275 + 736],
  ])("pads %i bytes at MTU %i to %i", (length, mtu, padded) => {
    expect(paddedLength(length, mtu)).toBe(padded);
  });
});

describe("inner packets", () => {
  test("need a whole header of a known version and a length that fits", () => {
    const v4 = new Uint8Array(40).fill(0x45, 0, 1);
    v4[3] = 30;
    expect(addressLength(v4, 0, 20)).toBe(4);
    expect(addressLength(v4, 0, 19)).toBe(0);
    expect(declaredLength(v4, 0, 4, 30)).toBe(30);
    expect(declaredLength(v4, 0, 4, 29)).toBe(0);
    v4[3] = 19;
    expect(declaredLength(v4, 0, 4, 40)).toBe(0);
    const v6 = new Uint8Array(64).fill(0x60, 0, 1);
    v6[5] = 8;
    expect(addressLength(v6, 0, 40)).toBe(16);
    expect(addressLength(v6, 0, 39)).toBe(0);
    expect(declaredLength(v6, 0, 16, 64)).toBe(48);
    expect(declaredLength(v6, 0, 16, 47)).toBe(0);
    expect(addressLength(new Uint8Array(64).fill(0x50), 0, 64)).toBe(0);
    expect(addressLength(v6, 0, 0)).toBe(0);
  });
});

describe("StagingQueue", () => {
  test("drops the oldest packet when it is full", () => {
    const queue = new StagingQueue(new StagingBudget(1e6));
    for (let i = 0; i < STAGED_PACKETS_PER_PEER; i++) expect(queue.push(Uint8Array.of(i))).toBe(0);
    expect(queue.push(Uint8Array.of(200))).toBe(1);
    expect(queue.length).toBe(STAGED_PACKETS_PER_PEER);
    expect(queue.peek()).toEqual(Uint8Array.of(1));
  });

  test("keeps the sum of all queues within the budget and gives it back", () => {
    const budget = new StagingBudget(100);
    const [one, two] = [new StagingQueue(budget), new StagingQueue(budget)];
    expect(one.push(new Uint8Array(60))).toBe(0);
    expect(two.push(new Uint8Array(60))).toBe(1);
    expect(two.length).toBe(0);
    expect(one.push(new Uint8Array(60))).toBe(1);
    expect(budget.usedBytes).toBe(60);
    expect(one.clear()).toBe(1);
    expect(budget.usedBytes).toBe(0);
    expect(two.push(new Uint8Array(100))).toBe(0);
  });
});

describe("IndexTable", () => {
  test("gives out distinct indices and finds them signed or unsigned", () => {
    const words = [7, 7, 0xffff_fffe];
    const table = new IndexTable<string>({ bytes: () => new Uint8Array(0), uint32: () => words.shift()! });
    expect(table.insert("a")).toBe(7);
    expect(table.insert("b")).toBe(0xffff_fffe);
    expect(table.lookup(0xffff_fffe)).toBe("b");
    expect(table.lookup(-2)).toBe("b");
    table.remove(0xffff_fffe);
    expect(table.lookup(-2)).toBeUndefined();
    expect(table.size).toBe(1);
  });
});

describe("security 26: rate limits", () => {
  test("sources are limited separately, to 20 per second after a burst of 5", () => {
    const limiter = new SourceRateLimiter();
    let allowed = 0;
    for (let at = 0; at < 10_000; at += 10) if (limiter.allow(Uint8Array.of(1), instant(at))) allowed++;
    expect(allowed).toBeGreaterThanOrEqual(200);
    expect(allowed).toBeLessThanOrEqual(206);
    expect(limiter.allow(Uint8Array.of(2), instant(10_000))).toBe(true);
  });

  test("ten thousand sources use no more than the table's room and are forgotten when idle", () => {
    const limiter = new SourceRateLimiter();
    const random = seededRandom(1);
    let allowed = 0;
    for (let i = 0; i < 10_000; i++) if (limiter.allow(random.bytes(16), instant(i / 100))) allowed++;
    expect(allowed).toBe(1024);
    expect(limiter.size).toBe(1024);
    expect(limiter.allow(random.bytes(16), instant(2_000))).toBe(true);
    expect(limiter.size).toBe(1);
  });

  test("load is reported above the rate and for a while after", () => {
    const meter = new LoadMeter(3, 1000);
    expect([0, 1, 2].map((at) => meter.note(instant(at)))).toEqual([false, false, false]);
    expect(meter.note(instant(3))).toBe(true);
    expect(meter.note(instant(1002))).toBe(true);
    expect(meter.note(instant(1003))).toBe(false);
  });
});
