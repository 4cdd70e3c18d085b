import { expect, test } from "vitest";
import type { TcpConnection } from "../../src/netstack/stack.ts";
import { Pair, PatternSink, PatternSource } from "./tcp-harness.ts";

const SMALL = new Uint8Array(10).fill(7);
/** IPv6 and TCP headers with timestamps. */
const HEADERS_BYTES = 40 + 20 + 12;
/** Segments that one connection sends before the next one's turn. */
const QUANTUM = 4;

function bulk(pair: Pair, port: number): void {
  const [a, b] = pair.connect({ port });
  new PatternSource(a, 1e12, port);
  new PatternSink(b, port);
}

/** Writes a little and waits until the other side has read it: @returns how long that took, in ms. */
function say(pair: Pair, from: TcpConnection, to: TcpConnection): number {
  const started = pair.now;
  let heard = 0;
  to.handler.onReadable = () => {
    for (let chunk = to.read(); chunk !== undefined; chunk = to.read()) heard += chunk.length;
  };
  from.write(SMALL);
  expect(pair.runUntil(() => heard === SMALL.length, 10_000)).toBe(true);
  return pair.now - started;
}

test.each([1, 5, 20])("a small write overtakes the queued data of %i bulk streams", (streams) => {
  const pair = new Pair({ rateBps: 100e6, delayMs: 5 }, { slots: 64 });
  const [a, b] = pair.connect({ port: 9 });
  for (let i = 0; i < streams; i++) bulk(pair, 100 + i);
  pair.runFor(200);
  for (let i = 0; i < 10; i++) {
    let before = 0;
    let found = false;
    pair.observe = (from, packet) => {
      if (from !== "a" || found) return;
      found = packet.length === HEADERS_BYTES + SMALL.length;
      if (!found) before++;
    };
    say(pair, a, b);
    expect(found).toBe(true);
    expect(before).toBeLessThanOrEqual(streams * QUANTUM);
    pair.runFor(7.3);
  }
});

test("beside bulk in front of a bottleneck with an endless queue, small packets wait 20 ms at most", () => {
  const pair = new Pair([{ rateBps: 400e6, delayMs: 0.1, queueBytes: 64e6 }, { delayMs: 0.1 }]);
  const [a, b] = pair.connect({ port: 9 });
  bulk(pair, 100);
  pair.runFor(5_000);
  const waits = Array.from({ length: 20 }, () => {
    pair.runFor(13);
    return say(pair, a, b);
  });
  expect(Math.max(...waits)).toBeLessThan(20);
});
