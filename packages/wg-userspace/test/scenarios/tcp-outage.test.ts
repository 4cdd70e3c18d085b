import { describe, expect, test } from "vitest";
import { Pair, PatternSink, PatternSource } from "./tcp-harness.ts";

const LINK = { rateBps: 20e6, delayMs: 20, queueBytes: 100_000 };

function start(): { pair: Pair; sink: PatternSink; setDown(down: boolean): void } {
  const pair = new Pair(LINK, { seed: 11 });
  const [a, b] = pair.connect();
  new PatternSource(a, 1e12, 1);
  const sink = new PatternSink(b, 1);
  pair.runFor(2000);
  return {
    pair,
    sink,
    setDown: (down) => {
      pair.ab.down = pair.ba.down = down;
    },
  };
}

describe("a transfer survives an outage of ten minutes", () => {
  test("and resumes on its own within the longest retransmission wait", () => {
    const { pair, sink, setDown } = start();
    setDown(true);
    pair.runFor(600_000);
    const before = sink.received;
    setDown(false);
    expect(pair.runUntil(() => sink.received > before, 10_100)).toBe(true);
    const resumedAt = sink.received;
    pair.runFor(3000);
    // Fast again, not one segment per timeout.
    expect(((sink.received - resumedAt) * 8) / 3e6).toBeGreaterThan(12);
    expect(sink.wrongAt).toBe(-1);
  });

  test("and at once when notified that the network changed", () => {
    const { pair, sink, setDown } = start();
    setDown(true);
    pair.runFor(600_000);
    const before = sink.received;
    setDown(false);
    pair.a.stack.networkChanged(pair.now);
    pair.b.stack.networkChanged(pair.now);
    expect(pair.runUntil(() => sink.received > before, 100)).toBe(true);
    pair.runFor(2000);
    expect(((sink.received - before) * 8) / 2e6).toBeGreaterThan(12);
    expect(sink.wrongAt).toBe(-1);
  });

  test("also when only the acknowledgments were lost", () => {
    const { pair, sink } = start();
    pair.ba.down = true;
    pair.runFor(60_000);
    const before = sink.received;
    pair.ba.down = false;
    expect(pair.runUntil(() => sink.received > before, 10_100)).toBe(true);
    expect(sink.wrongAt).toBe(-1);
  });
});

test("a short outage of one second costs about another second at most", () => {
  const { pair, sink, setDown } = start();
  setDown(true);
  pair.runFor(1000);
  setDown(false);
  const before = sink.received;
  expect(pair.runUntil(() => sink.received > before, 1100)).toBe(true);
});

test("a connection that waits on a closed window after an outage learns of the opening", () => {
  const pair = new Pair(LINK, { seed: 12 });
  const [a, b] = pair.connect();
  const sink = new PatternSink(b, 1);
  b.handler.onReadable = () => undefined;
  new PatternSource(a, 2_000_000, 1);
  pair.runFor(5000);
  expect(a.info.peerWindow).toBeLessThan(2000);
  pair.ba.down = true;
  sink.drain(); // the window update is lost
  pair.runFor(30_000);
  pair.ba.down = false;
  b.handler.onReadable = () => sink.drain();
  pair.a.stack.networkChanged(pair.now);
  expect(pair.runUntil(() => sink.received === 2_000_000, 5000)).toBe(true);
  expect(sink.wrongAt).toBe(-1);
});

test("a SYN lost in an outage is sent again at once when notified that the network changed", () => {
  const pair = new Pair(LINK, { seed: 13 });
  pair.b.stack.listenTcp({ port: 80 }, { onRequest: (request) => void request.accept({}, pair.now) });
  const client = pair.a.stack.connectTcp({ address: pair.b.address, port: 80 }, {}, pair.now);
  pair.ab.down = true;
  pair.runFor(8000);
  pair.ab.down = false;
  pair.a.stack.networkChanged(pair.now);
  expect(pair.runUntil(() => client.state === "ESTABLISHED", 100)).toBe(true);
});

test("a slow reader closes the window, memory stays bounded, and nothing is lost when it continues", () => {
  const pair = new Pair({ rateBps: 100e6, delayMs: 5 }, { seed: 14 });
  const [a, b] = pair.connect({ b: { maxReceiveBufferBytes: 500_000 }, a: { maxSendBufferBytes: 300_000 } });
  const sink = new PatternSink(b, 1);
  b.handler.onReadable = () => undefined;
  const source = new PatternSource(a, 5_000_000, 1);
  pair.runFor(20_000);
  expect(b.readableLength).toBeLessThanOrEqual(500_000);
  expect(b.info.receiveBuffer.memory).toBeLessThan(500_000 + 131_072);
  expect(a.info.sendBuffer.memory).toBeLessThan(300_000 + 131_072);
  expect(source.written).toBeLessThanOrEqual(800_000);
  const packets = pair.ab.sentPackets;
  pair.runFor(60_000);
  expect(pair.ab.sentPackets - packets).toBeLessThan(20); // only probes
  // Reads 10 kB every 10 ms: 8 Mbit/s.
  while (!sink.ended && pair.now < 600_000) {
    sink.drain(sink.received + 10_000);
    pair.runFor(10);
  }
  expect(sink).toMatchObject({ received: 5_000_000, wrongAt: -1, ended: true });
  expect(b.info.receiveBuffer.limit).toBeLessThanOrEqual(500_000);
});
