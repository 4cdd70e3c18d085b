import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Hub } from "./hub.ts";
import type { FromTab, ToTab } from "./messages.ts";

const LIST = { topic: "workspaces", args: { q: "" } } as const;

/** Opens, and answers pings, but sends nothing else. */
class QuietSocket {
  static made = 0;
  static closed = 0;
  onopen: (() => void) | undefined;
  onmessage: ((event: { data: unknown }) => void) | undefined;

  constructor() {
    QuietSocket.made++;
    queueMicrotask(() => this.onopen?.());
  }
  send(text: string): void {
    if (text === '{"op":"ping"}') queueMicrotask(() => this.onmessage?.({ data: '{"type":"pong"}' }));
  }
  close(): void {
    QuietSocket.closed++;
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  QuietSocket.made = 0;
  QuietSocket.closed = 0;
  vi.stubGlobal("WebSocket", QuietSocket);
  vi.stubGlobal("addEventListener", () => undefined);
  vi.stubGlobal("removeEventListener", () => undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** The holder's end of a tab's port. */
function tabOf(hub: Hub) {
  const got: ToTab[] = [];
  const port = { onmessage: null, postMessage: (message: ToTab) => void got.push(message) } as unknown as MessagePort;
  hub.attach(port);
  return {
    post: (message: FromTab) => port.onmessage?.({ data: message } as MessageEvent<FromTab>),
    take: () => got.splice(0),
  };
}

test("a silent tab learns that it was forgotten, and comes back over a new port", async () => {
  const hub = new Hub("wss://coder.example.com/stream");
  const frozen = tabOf(hub);
  const awake = tabOf(hub);
  frozen.post({ type: "join", key: "list", ...LIST });
  await vi.advanceTimersByTimeAsync(0);
  frozen.take();
  for (let minute = 0; minute < 5; minute++) {
    await vi.advanceTimersByTimeAsync(60_000);
    awake.post({ type: "alive" });
  }
  expect(frozen.take()).toEqual([{ type: "forgotten" }]);
  expect(awake.take().filter(({ type }) => type === "forgotten")).toEqual([]);
  // Messages that it sends before it reads this do not bring it back.
  frozen.post({ type: "alive" });
  frozen.post({ type: "gone" });
  await vi.advanceTimersByTimeAsync(60_000);
  awake.post({ type: "alive" });
  expect(frozen.take()).toEqual([]);
  expect(tabOf(hub).take()).toEqual([{ type: "link", up: true }]);
  expect([QuietSocket.made, QuietSocket.closed]).toEqual([1, 0]);
});

test("without tabs nothing runs", () => {
  const hub = new Hub("wss://coder.example.com/stream");
  tabOf(hub).post({ type: "gone" });
  expect([vi.getTimerCount(), QuietSocket.closed]).toEqual([0, 1]);
  tabOf(hub);
  expect(QuietSocket.made).toBe(2);
});
