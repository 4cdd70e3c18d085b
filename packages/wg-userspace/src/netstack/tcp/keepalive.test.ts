import { describe, expect, test } from "vitest";
import { instant } from "../../base/instant.ts";
import { Keepalive } from "./keepalive.ts";
import { KEEPALIVE, TcpTimers } from "./timers.ts";

const START = instant(1_000);

function setUp(idleMs = 100) {
  const timers = new TcpTimers();
  const keepalive = new Keepalive(timers, idleMs, 10, 2, START);
  /** Lets the timer expire. */
  const expire = (outstanding = false): boolean => {
    const at = instant(timers.at(KEEPALIVE));
    timers.clear(KEEPALIVE);
    return keepalive.onTimeout(outstanding, at);
  };
  return { timers, keepalive, expire, at: () => timers.at(KEEPALIVE) };
}

describe("keepalive", () => {
  test("probes after the idle time, then at intervals, and gives up after the last one", () => {
    const { keepalive, expire, at } = setUp();
    keepalive.start(START);
    expect(at()).toBe(1_100);
    for (const next of [1_110, 1_120]) {
      expect([expire(), keepalive.probeDue, at()]).toEqual([true, true, next]);
      keepalive.probeDue = false;
    }
    expect([expire(), keepalive.probeDue, at()]).toEqual([false, false, Number.POSITIVE_INFINITY]);
  });

  test("waits for the idle time from the last segment, and begins to count its probes again", () => {
    const { keepalive, expire, at } = setUp();
    keepalive.start(START);
    keepalive.heard(instant(1_060));
    expect([expire(), keepalive.probeDue, at()]).toEqual([true, false, 1_160]);
    expect([expire(), expire(), keepalive.probeDue]).toEqual([true, true, true]);
    keepalive.heard(instant(1_175));
    expect([expire(), at()]).toEqual([true, 1_275]);
    expect([expire(), expire(), expire()]).toEqual([true, true, false]);
  });

  test("leaves it to outstanding data to detect a dead peer", () => {
    const { keepalive, expire, at } = setUp();
    keepalive.start(START);
    for (const next of [1_200, 1_300, 1_400])
      expect([expire(true), keepalive.probeDue, at()]).toEqual([true, false, next]);
  });

  test("never begins with an idle time of 0", () => {
    const { keepalive, at } = setUp(0);
    keepalive.start(START);
    expect(at()).toBe(Number.POSITIVE_INFINITY);
  });
});
