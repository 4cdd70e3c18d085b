import { describe, expect, test } from "vitest";
import type { Instant } from "../../base/instant.ts";
import { ChunkPool } from "./chunk-pool.ts";
import { Receiver } from "./receiver.ts";
import { RttEstimator } from "./rtt.ts";

const at = (ms: number) => ms as Instant;
const DAYS_24_MS = 24 * 24 * 3_600_000;
const SEGMENT = 1000;
const INITIAL = 64 * 1024;

function receiver(maxBytes = 16 * 1024 * 1024): Receiver {
  const made = new Receiver(INITIAL, maxBytes, new ChunkPool(8));
  made.synchronize(7000);
  made.advertise(9);
  return made;
}

function receive(to: Receiver, position: number, length: number): boolean {
  return to.receive(new Uint8Array(length), 0, length, position, at(0));
}

describe("an update of the window after reading", () => {
  /** A receiver with as much unread data as the window allows. */
  function full(): Receiver {
    const one = receiver();
    for (let position = 1; one.reassembly.readableLength < INITIAL; position += SEGMENT)
      receive(one, position, Math.min(SEGMENT, INITIAL + 1 - position));
    one.advertise(0);
    return one;
  }
  const readAll = (one: Receiver): void => {
    while (one.reassembly.read() !== undefined);
  };

  test("is due once the reader has made room, and not before", () => {
    const one = full();
    expect(one.windowUpdateDue()).toBe(false);
    readAll(one);
    expect(one.windowUpdateDue()).toBe(true);
    one.advertise(9);
    expect(one.windowUpdateDue()).toBe(false);
  });

  test("is not due after the peer's FIN", () => {
    const one = full();
    one.finPosition = one.next;
    readAll(one);
    expect(one.windowUpdateDue()).toBe(false);
  });
});

describe("the timestamp to echo", () => {
  test("is that of a segment which covers the last acknowledgment sent, and of no later one (RFC 7323 §4.3)", () => {
    const one = receiver();
    one.noteTimestamp(100, 1, at(0));
    expect(one.tsRecent).toBe(100);
    one.noteTimestamp(101, 2, at(1)); // the segment before it is missing: it must show in the echo
    expect(one.tsRecent).toBe(100);
  });

  test("does not go back, but after 24 days any is taken", () => {
    const one = receiver();
    one.noteTimestamp(100, 1, at(1000));
    one.noteTimestamp(99, 1, at(1000 + DAYS_24_MS - 1));
    expect(one.tsRecent).toBe(100);
    one.noteTimestamp(99, 1, at(1000 + DAYS_24_MS));
    expect(one.tsRecent).toBe(99);
  });

  test("is compared across the wrap", () => {
    const one = receiver();
    one.noteTimestamp(0xffff_fff0, 1, at(0));
    one.noteTimestamp(5, 1, at(10));
    expect(one.tsRecent).toBe(5);
  });

  test("rejects segments more than 256 ticks older, for 24 days (RFC 7323 §5.3)", () => {
    const one = receiver();
    one.noteTimestamp(10_000, 1, at(5));
    expect(one.failsPaws(10_000 - 256, at(6))).toBe(false);
    expect(one.failsPaws(10_000 - 257, at(6))).toBe(true);
    expect(one.failsPaws(10_000 - 257, at(5 + DAYS_24_MS - 1))).toBe(true);
    expect(one.failsPaws(10_000 - 257, at(5 + DAYS_24_MS))).toBe(false);
  });
});

describe("the SACK option", () => {
  const written = (from: Receiver): number[] => {
    const bytes = new Uint8Array(64).fill(0xee);
    const view = new DataView(bytes.buffer);
    const length = from.writeSackBlocks({ bytes, view }, 4);
    return length === 0
      ? [...bytes.subarray(4, 8)]
      : Array.from({ length: length / 4 }, (_, i) => view.getUint32(4 + 4 * i));
  };

  test("is left out when everything is in order", () => {
    const one = receiver();
    receive(one, 1, SEGMENT);
    expect(written(one)).toEqual([0xee, 0xee, 0xee, 0xee]);
  });

  test("names pieces in the peer's numbers, a duplicate first (RFC 2883)", () => {
    const one = receiver();
    receive(one, 1, SEGMENT);
    receive(one, 1 + 2 * SEGMENT, SEGMENT);
    expect(written(one)).toEqual([0x0101_050a, 7000 + 1 + 2 * SEGMENT, 7000 + 1 + 3 * SEGMENT]);
    expect(receive(one, 1, SEGMENT)).toBe(true);
    expect(written(one)).toEqual([0x0101_0512, 7001, 7001 + SEGMENT, 7001 + 2 * SEGMENT, 7001 + 3 * SEGMENT]);
    one.acknowledged();
    expect(written(one)).toHaveLength(3);
  });

  test("has room for three blocks beside timestamps, else for four", () => {
    const one = receiver();
    for (let i = 1; i <= 9; i += 2) receive(one, 1 + i * SEGMENT, SEGMENT);
    expect(written(one)[0]).toBe(0x0101_0500 | (2 + 8 * 4));
    one.timestamps = true;
    expect(written(one)[0]).toBe(0x0101_0500 | (2 + 8 * 3));
  });
});

describe("acknowledgments", () => {
  test("are sent at once for the first sixteen segments, then for every second full one (RFC 5681 §4.2)", () => {
    const one = receiver();
    const due: boolean[] = [];
    for (let i = 0; i < 20; i++) {
      receive(one, 1 + i * SEGMENT, SEGMENT);
      due.push(one.ackNow);
      if (one.ackNow) one.acknowledged();
    }
    expect(due).toEqual([...Array(16).fill(true), false, true, false, true]);
  });

  test("are owed until one is sent", () => {
    const one = receiver();
    expect(one.ackOwed).toBe(false);
    receive(one, 1, SEGMENT);
    expect(one.ackOwed).toBe(true);
    one.acknowledged();
    expect(one.ackOwed).toBe(false);
  });
});

/** A reader that takes everything at once; the peer sends `bytesPerMs`, and its echoes are `rttMs` old. */
function stream(one: Receiver, bytesPerMs: number, rttMs: number, ms: number, from = { now: 0, position: 1 }) {
  const rtt = new RttEstimator(60_000);
  let { now, position } = from;
  for (const end = now + ms; now < end; now++) {
    for (let left = bytesPerMs; left > 0; left -= SEGMENT) {
      const length = Math.min(left, SEGMENT);
      one.advertise(9);
      receive(one, position, length);
      position += length;
      while (one.reassembly.read() !== undefined);
    }
    one.tune(rttMs, rtt, at(now));
  }
  return { now, position };
}

describe("the receive buffer", () => {
  test("grows to three round trips of a steady reader's rate, 2 ms of slack and sixteen segments", () => {
    const one = receiver();
    stream(one, 4000, 50, 2000);
    // Twice as much while the rate still grows, which it did once: from nothing.
    expect(one.bufferBytes).toBe(2 * 4000 * (3 * 50 + 2) + 16 * SEGMENT);
  });

  test("takes the shortest round trip of the last periods, not one that a queue has lengthened", () => {
    const one = receiver();
    const after = stream(one, 4000, 20, 1000);
    const before = one.bufferBytes;
    stream(one, 4000, 400, 2000, after);
    expect(one.bufferBytes).toBe(before);
  });

  test("follows a path that got longer after at most two periods of five seconds", () => {
    const one = receiver();
    const after = stream(one, 4000, 20, 1000);
    stream(one, 4000, 200, 12_000, after);
    expect(one.bufferBytes).toBeGreaterThan(3 * 4000 * 190);
    expect(one.bufferBytes).toBeLessThan(2 * 4000 * (3 * 200 + 2) + 17 * SEGMENT);
  });

  test("smooths a longer round trip by an eighth, and takes a shorter one at once", () => {
    const rateMeasuredAfter = (...roundTripsMs: number[]): number => {
      const one = receiver();
      const rtt = new RttEstimator(60_000);
      for (const ageMs of roundTripsMs) one.tune(ageMs, rtt, at(0));
      // The rate is measured over the round trip as it is known: the buffer grows when that time is over, not earlier.
      let position = 1;
      for (let now = 1; ; now++) {
        one.advertise(9);
        for (let i = 0; i < 10; i++, position += SEGMENT) receive(one, position, SEGMENT);
        while (one.reassembly.read() !== undefined);
        one.tune(-1, rtt, at(now));
        if (one.bufferBytes > INITIAL) return now;
      }
    };
    expect(rateMeasuredAfter(80)).toBe(80);
    expect(rateMeasuredAfter(80, 160)).toBe(90);
    expect(rateMeasuredAfter(80, 160, 40)).toBe(40);
    expect(rateMeasuredAfter(80, 80)).toBe(80);
  });

  test("stays as it is without a reader, and never exceeds its limit", () => {
    const idle = receiver();
    const rtt = new RttEstimator(60_000);
    for (let now = 0; now < 1000; now++) {
      idle.advertise(9);
      receive(idle, 1 + now * 50, 50);
      idle.tune(20, rtt, at(now));
    }
    expect(idle.bufferBytes).toBe(INITIAL);
    const small = receiver(100_000);
    stream(small, 4000, 50, 2000);
    expect(small.bufferBytes).toBe(100_000);
  });

  test("uses our own estimate where the peer echoes nothing", () => {
    const one = receiver();
    const rtt = new RttEstimator(60_000);
    rtt.sample(60, 1);
    let position = 1;
    for (let now = 0; now < 300; now++) {
      one.advertise(9);
      for (let i = 0; i < 4; i++, position += SEGMENT) receive(one, position, SEGMENT);
      while (one.reassembly.read() !== undefined);
      one.tune(-1, rtt, at(now));
    }
    expect(one.bufferBytes).toBe(2 * 4000 * (3 * 60 + 2) + 16 * SEGMENT);
  });
});
