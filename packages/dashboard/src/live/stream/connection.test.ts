import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { StreamConnection } from "./connection.ts";

/** A socket whose closing handshake takes as long as the test wants. */
class SlowSocket {
  static made: SlowSocket[] = [];
  readonly sent: string[] = [];
  closes = 0;
  onopen: (() => void) | undefined;
  onmessage: ((event: { data: unknown }) => void) | undefined;
  onclose: ((event: { code: number }) => void) | undefined;

  constructor() {
    SlowSocket.made.push(this);
  }
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.closes++;
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  SlowSocket.made = [];
  vi.stubGlobal("WebSocket", SlowSocket);
  vi.stubGlobal("addEventListener", () => undefined);
  vi.stubGlobal("removeEventListener", () => undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function setUp() {
  const events: string[] = [];
  const connection = new StreamConnection("wss://coder.example.com/stream", {
    opened: () => void events.push("opened"),
    lost: () => void events.push("lost"),
    denied: () => void events.push("denied"),
    message: (text) => void events.push(text),
  });
  connection.start();
  return { connection, events };
}

const latest = () => SlowSocket.made.at(-1)!;

test("a connection without answers is replaced before its close is reported, and means nothing afterwards", () => {
  const { events } = setUp();
  const dead = latest();
  dead.onopen?.();
  vi.advanceTimersByTime(20_000);
  expect([dead.sent, events]).toEqual([['{"op":"ping"}'], ["opened"]]);
  vi.advanceTimersByTime(20_000);
  expect([dead.closes, events]).toEqual([1, ["opened", "lost"]]);
  vi.advanceTimersByTime(500);
  expect(SlowSocket.made.length).toBe(2);
  latest().onopen?.();
  dead.onmessage?.({ data: "late" });
  dead.onclose?.({ code: 1008 });
  latest().onmessage?.({ data: "current" });
  expect(events).toEqual(["opened", "lost", "opened", "current"]);
  // The beat of the current socket continues.
  vi.advanceTimersByTime(20_000);
  expect(latest().sent).toEqual(['{"op":"ping"}']);
  vi.advanceTimersByTime(120_000);
  expect(dead.sent).toEqual(['{"op":"ping"}']);
});

test("a stopped connection starts again while the former is still closing", () => {
  const { connection, events } = setUp();
  const former = latest();
  former.onopen?.();
  connection.stop();
  expect([former.closes, events]).toEqual([1, ["opened", "lost"]]);
  connection.start();
  expect(SlowSocket.made.length).toBe(2);
  latest().onopen?.();
  former.onclose?.({ code: 1005 });
  connection.send("sub");
  expect([latest().sent, events]).toEqual([["sub"], ["opened", "lost", "opened"]]);
});

test("a connection that is always refused is tried less and less often, and only while the login holds", () => {
  const { connection, events } = setUp();
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    const refused = latest();
    refused.onopen?.();
    refused.onclose?.({ code: 1008 });
    vi.advanceTimersByTime(60_000);
    expect([events.at(-1), latest()]).toEqual(["denied", refused]);
    // One call per tab; together they make one attempt.
    connection.retryLater();
    connection.retryLater();
    const made = SlowSocket.made.length;
    const from = performance.now();
    vi.advanceTimersToNextTimer();
    waits.push(performance.now() - from);
    expect(SlowSocket.made.length).toBe(made + 1);
  }
  expect(waits[0]).toBeGreaterThanOrEqual(200);
  for (const [i, wait] of waits.slice(1, 7).entries()) expect(wait).toBeGreaterThan(waits[i]!);
  expect(waits[7]).toBeGreaterThanOrEqual(12_000);
});

test("an outage is tried less and less often", () => {
  setUp();
  const made: number[] = [];
  for (let i = 0; i < 8; i++) {
    latest().onclose?.({ code: 1006 });
    const from = performance.now();
    vi.advanceTimersToNextTimer();
    made.push(performance.now() - from);
  }
  expect(made[7]).toBeGreaterThanOrEqual(12_000);
});

test("an attempt that the server accepts and never answers is given up and made again, less and less often", () => {
  const { events } = setUp();
  for (let attempt = 1; attempt <= 4; attempt++) {
    const silent = latest();
    vi.advanceTimersByTime(24_999);
    expect([SlowSocket.made.length, silent.closes]).toEqual([attempt, 0]);
    vi.advanceTimersByTime(1);
    expect([SlowSocket.made.length, silent.closes]).toEqual([attempt, 1]);
    vi.advanceTimersToNextTimer();
    expect(SlowSocket.made.length).toBe(attempt + 1);
    // Its close is reported later, and means nothing.
    silent.onclose?.({ code: 1006 });
    silent.onopen?.();
  }
  expect(events).toEqual([]);
  latest().onopen?.();
  vi.advanceTimersByTime(60_000 - 20_001);
  // The limit of the attempt does not end a connection that was opened.
  expect([events, latest().sent]).toEqual([["opened"], ['{"op":"ping"}']]);
});

test("a stopped attempt leaves no timer behind", () => {
  const { connection } = setUp();
  connection.stop();
  expect(vi.getTimerCount()).toBe(0);
});
