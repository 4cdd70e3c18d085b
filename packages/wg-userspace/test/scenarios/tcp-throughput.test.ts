import { test } from "vitest";
import { matchThroughput } from "./throughput.ts";

test("throughput in Mbit/s, by link, over ten seconds from the start", () => {
  matchThroughput([
    ["10 Mbit/s, 20 ms", { rateBps: 10e6, delayMs: 10 }],
    ["10 Mbit/s, 20 ms, queue of 20 packets", { rateBps: 10e6, delayMs: 10, queueBytes: 25_000 }],
    ["10 Mbit/s, 300 ms", { rateBps: 10e6, delayMs: 150 }],
    ["50 Mbit/s, 40 ms, queue of a quarter BDP", { rateBps: 50e6, delayMs: 20, queueBytes: 62_500 }],
    ["50 Mbit/s, 40 ms, 1 % reordered by 5 ms", { rateBps: 50e6, delayMs: 20, reorder: 0.01, reorderMs: 5 }],
    ["50 Mbit/s, 40 ms, jitter 10 ms", { rateBps: 50e6, delayMs: 20, jitterMs: 10 }],
    [
      "50 Mbit/s, 40 ms, receive buffer of 64 kB",
      { rateBps: 50e6, delayMs: 20 },
      { tcp: { maxReceiveBufferBytes: 65_536 } },
    ],
    ["200 Mbit/s, 1 ms", { rateBps: 200e6, delayMs: 0.5 }, { mtu: 8920 }],
  ]);
});
