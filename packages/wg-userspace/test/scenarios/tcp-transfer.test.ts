import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LinkOptions } from "../../src/testing/link.ts";
import { type HostOptions, Pair, PatternSink, PatternSource } from "./tcp-harness.ts";

/** Sends both ways at once, ends both, and checks every byte. @returns the virtual ms until both were closed. */
function transfer(link: LinkOptions, bytes: number, options: HostOptions & { family?: 4 | 6 } = {}): number {
  const pair = new Pair(link, options);
  const [a, b] = pair.connect({
    a: { connectTimeoutMs: 120_000 },
    b: { connectTimeoutMs: 120_000 },
  });
  const startAt = pair.now;
  const fromB = new PatternSink(a, 22);
  const fromA = new PatternSink(b, 11);
  const sources = [new PatternSource(a, bytes, 11), new PatternSource(b, bytes, 22)];
  const done = pair.runUntil(() => fromA.closed && fromB.closed, 3_600_000);
  expect({ done, written: sources.map((s) => s.written) }).toEqual({ done: true, written: [bytes, bytes] });
  for (const sink of [fromA, fromB]) {
    expect(sink).toMatchObject({ received: bytes, wrongAt: -1, ended: true, error: undefined });
  }
  const elapsed = pair.now - startAt;
  pair.runFor(60_000);
  expect([pair.a.stack.connectionCount, pair.b.stack.connectionCount]).toEqual([0, 0]);
  expect(a.info.sendBuffer.memory + b.info.sendBuffer.memory).toBe(0);
  return elapsed;
}

describe("every byte arrives in order, both ways at once", () => {
  const losses = [0, 0.01, 0.05, 0.2];
  const delays = [5, 50, 200];
  test.each(losses.flatMap((loss) => delays.map((delayMs) => [loss, delayMs] as const)))(
    "with loss %f and a delay of %i ms each way",
    (loss, delayMs) => {
      transfer({ rateBps: 20e6, delayMs, loss, queueBytes: 100_000 }, loss > 0.1 ? 60_000 : 400_000, { seed: 5 });
    },
  );

  test.each([
    ["reordering", { reorder: 0.2, reorderMs: 30 }],
    ["duplication", { duplicate: 0.3 }],
    ["jitter larger than the delay", { jitterMs: 40 }],
    ["a queue of four packets", { rateBps: 5e6, queueBytes: 5000 }],
    ["everything at once", { reorder: 0.1, reorderMs: 50, duplicate: 0.1, jitterMs: 10, loss: 0.05 }],
  ] as const)("with %s", (_name, link) => {
    transfer({ rateBps: 20e6, delayMs: 15, queueBytes: 100_000, ...link }, 400_000, { seed: 9 });
  });

  test.each([
    ["over IPv4", { family: 4 as const }],
    [
      "with buffers of 3 kB",
      { tcp: { initialReceiveBufferBytes: 3000, maxReceiveBufferBytes: 3000, maxSendBufferBytes: 3000 } },
    ],
    ["with one packet slot per turn", { slots: 1 }],
    ["with packets of 8920 bytes", { mtu: 8920 }],
    ["without timestamps", { tcp: { timestamps: false } }],
    ["without SACK", { tcp: { sack: false } }],
    ["without window scaling", { tcp: { windowScaling: false } }],
    ["with Reno", { tcp: { congestion: "reno" as const } }],
    ["with strict CUBIC", { tcp: { congestion: "cubic-strict" as const } }],
  ])("%s, with 2 %% loss", (_name, options) => {
    transfer({ rateBps: 20e6, delayMs: 10, loss: 0.02, queueBytes: 100_000 }, 300_000, { seed: 3, ...options });
  });

  test("over any link, from any seed", () => {
    const link = fc.record({
      rateBps: fc.constantFrom(1e6, 1e7, 1e9),
      delayMs: fc.constantFrom(0, 1, 30, 150),
      jitterMs: fc.constantFrom(0, 1, 20),
      loss: fc.constantFrom(0, 0.01, 0.1),
      reorder: fc.constantFrom(0, 0.05),
      reorderMs: fc.constantFrom(1, 40),
      duplicate: fc.constantFrom(0, 0.05),
      queueBytes: fc.constantFrom(4000, 30_000, 1_000_000),
    });
    fc.assert(
      fc.property(link, fc.nat(1_000_000), fc.constantFrom(1, 1000, 100_000), (options, seed, bytes) => {
        transfer(options, bytes, { seed });
      }),
      { numRuns: 40 },
    );
  });
});

test("many connections share a link fairly, and packet slots too", () => {
  const pair = new Pair({ rateBps: 50e6, delayMs: 10, queueBytes: 100_000 }, { seed: 2, slots: 8 });
  const sinks = Array.from({ length: 8 }, (_, i) => {
    const [a, b] = pair.connect({ port: 100 + i });
    new PatternSource(a, 1e9, i);
    return new PatternSink(b, i);
  });
  pair.runFor(5000);
  const shares = sinks.map((sink) => sink.received);
  const total = shares.reduce((sum, share) => sum + share, 0);
  expect(total * 8).toBeGreaterThan(0.85 * 50e6 * 5);
  expect(Math.min(...shares)).toBeGreaterThan(total / 8 / 4);
  expect(pair.a.stalls).toBeGreaterThan(0);
});

test("an idle connection holds no payload memory, and a thousand of them set no timer", () => {
  const pair = new Pair({ delayMs: 1 }, { seed: 4 });
  const ends = Array.from({ length: 1000 }, (_, i) => pair.connect({ port: 1 + i }));
  for (const [i, [a, b]] of ends.entries()) {
    new PatternSource(a, 5000, i, false);
    new PatternSink(b, i);
  }
  pair.runFor(5000);
  for (const [a, b] of ends) {
    expect(b.info.bytesReceived).toBe(5000);
    for (const end of [a, b]) {
      expect(end.info.sendBuffer.memory).toBe(0);
      expect(end.info.receiveBuffer.memory).toBe(0);
    }
  }
  expect(pair.a.stack.nextTimeout()).toBeUndefined();
  expect(pair.b.stack.nextTimeout()).toBeUndefined();
});
