import { describe, expect, test } from "vitest";
import { type Instant, instant } from "../../src/base/instant.ts";
import type { TcpConnection } from "../../src/netstack/stack.ts";
import { Link, type LinkOptions } from "../../src/testing/link.ts";
import { Lane } from "./shared-link.ts";
import { type HostOptions, Pair } from "./tcp-harness.ts";

const MTU = 1280;
const RATE_BPS = 100e6;
/** Payload of a full segment: without headers of IPv6 and TCP with timestamps. */
const PAYLOAD_BYTES = MTU - 72;
const INITIAL_WINDOW_SEGMENTS = 10;
const ZEROS = new Uint8Array(65536);

/** 100 Mbit/s with a queue of so many bandwidth-delay products. */
function path(rttMs: number, queueBdp: number, more: LinkOptions = {}): LinkOptions {
  return { rateBps: RATE_BPS, delayMs: rttMs / 2, queueBytes: (queueBdp * RATE_BPS * rttMs) / 8000, ...more };
}

/** Payload per ms of a path in full use. */
function payloadRate(link: LinkOptions): number {
  return (link.rateBps! * PAYLOAD_BYTES) / MTU / 8000;
}

/** Payload that arrives in the first `ms` when each round trip doubles what is sent until the path is full. */
function possible(link: LinkOptions, ms: number): number {
  const rttMs = 2 * link.delayMs!;
  let bytes = 0;
  for (let t = Math.ceil(rttMs / 2); t < ms; t++) {
    const rounds = Math.min(Math.floor((t - rttMs / 2) / rttMs), 40);
    bytes += Math.min((INITIAL_WINDOW_SEGMENTS * PAYLOAD_BYTES * 2 ** rounds) / rttMs, payloadRate(link));
  }
  return bytes;
}

/** A receiver that looks every few ms only, as one does that takes datagrams in batches. */
class BatchLink extends Link {
  readonly #everyMs: number;
  constructor(options: LinkOptions, everyMs: number) {
    super(options, 1);
    this.#everyMs = everyMs;
  }
  override nextTimeout(): Instant | undefined {
    const at = super.nextTimeout();
    return at === undefined ? undefined : instant(Math.ceil(at / this.#everyMs) * this.#everyMs);
  }
  override receive(now: Instant): Uint8Array | undefined {
    const at = this.nextTimeout();
    return at === undefined || at > now ? undefined : super.receive(now);
  }
}

function sendForever(connection: TcpConnection): void {
  const pump = () => {
    while (connection.write(ZEROS) === ZEROS.length);
  };
  connection.handler.onWritable = pump;
  pump();
}

class Sink {
  received = 0;
  constructor(connection: TcpConnection) {
    connection.handler.onReadable = () => {
      for (let chunk = connection.read(); chunk !== undefined; chunk = connection.read()) this.received += chunk.length;
    };
  }
}

/** A bulk transfer of ten seconds. @returns payload from `fromMs` on. */
function transfer(link: LinkOptions | Link, seed = 1, fromMs = 0): { bytes: number; queueDrops: number } {
  const back = link instanceof Link ? link.options : link;
  const pair = new Pair([link, { ...back, rateBps: Number.POSITIVE_INFINITY }], { seed });
  const [a, b] = pair.connect();
  sendForever(a);
  const sink = new Sink(b);
  pair.runFor(fromMs);
  const before = sink.received;
  pair.runFor(10_000 - fromMs);
  return { bytes: sink.received - before, queueDrops: pair.ab.queueDrops };
}

/** Two streams that start together. @returns how many times more one of them got in 30 s. */
function unfairness(link: LinkOptions, second: HostOptions): number {
  const shared = new Link(link, 1);
  const owners = new WeakMap<Uint8Array, Lane>();
  const pairs = [{}, second].map(
    (options, i) => new Pair([new Lane(shared, owners), { delayMs: link.delayMs! }], { ...options, seed: 1 + i }),
  );
  const sinks = pairs.map((pair) => {
    const [a, b] = pair.connect();
    sendForever(a);
    pair.flush();
    return new Sink(b);
  });
  const until = pairs[0]!.now + 30_000;
  for (;;) {
    const next = Math.min(...pairs.map((pair) => pair.nextEvent()));
    if (next > until) break;
    for (const pair of pairs) pair.step(next);
  }
  const received = sinks.map((sink) => sink.received);
  return Math.max(...received) / Math.min(...received);
}

describe("slow start", () => {
  test.each([
    [20, 150],
    [100, 400],
  ])(
    "fills a path of %i ms with a queue of one BDP, and loses at most %i packets to the queue in ten seconds",
    (rttMs, drops) => {
      const link = path(rttMs, 1);
      const { bytes, queueDrops } = transfer(link);
      expect(bytes / possible(link, 10_000)).toBeGreaterThan(0.97);
      expect(queueDrops).toBeLessThanOrEqual(drops);
    },
  );
  test("ends in time when the receiver takes packets in batches", () => {
    const link = path(100, 1);
    const { bytes, queueDrops } = transfer(new BatchLink(link, 5));
    expect(bytes / possible(link, 10_000)).toBeGreaterThan(0.97);
    expect(queueDrops).toBeLessThanOrEqual(400);
  });
  test("is not ended by jitter of 10 ms", () => {
    const link = path(40, 4, { jitterMs: 10 });
    const { bytes, queueDrops } = transfer(link);
    expect(bytes / possible(link, 10_000)).toBeGreaterThan(0.97);
    expect(queueDrops).toBe(0);
  });
  test("overflows a queue of a quarter BDP once, not twice", () => {
    const link = path(100, 0.25);
    const { bytes, queueDrops } = transfer(link);
    expect(bytes / possible(link, 10_000)).toBeGreaterThan(0.97);
    expect(queueDrops).toBeLessThanOrEqual(600);
  });
});

describe("a loss of one packet in a hundred", () => {
  test.each([
    [20, 0, 0.7],
    [100, 0, 0.7],
    [300, 4000, 0.5],
  ])("on a path of %i ms leaves, from ms %i on, at least %d of the link", (rttMs, fromMs, share) => {
    for (const seed of [1, 3]) {
      const link = path(rttMs, 1, { loss: 0.01 });
      const { bytes } = transfer(link, seed, fromMs);
      expect(bytes / (payloadRate(link) * (10_000 - fromMs))).toBeGreaterThan(share);
    }
  });
});

describe("two streams that start together", () => {
  const link = path(20, 1);
  test("share a link within a factor of two", () => {
    expect(unfairness(link, {})).toBeLessThan(2);
  });
  test("share a link within a factor of two and a half when one of them tolerates no loss", () => {
    expect(unfairness(link, { tcp: { congestion: "cubic-strict" } })).toBeLessThan(2.5);
  });
});
