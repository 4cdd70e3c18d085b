import { test } from "vitest";
import { matchThroughput } from "./throughput.ts";

test("throughput in Mbit/s, by link with loss, over ten seconds from the start", () => {
  matchThroughput([
    ["10 Mbit/s, 20 ms, 1 % loss", { rateBps: 10e6, delayMs: 10, loss: 0.01 }],
    ["10 Mbit/s, 20 ms, 5 % loss", { rateBps: 10e6, delayMs: 10, loss: 0.05 }],
    ["10 Mbit/s, 20 ms, 20 % loss", { rateBps: 10e6, delayMs: 10, loss: 0.2 }],
    ["50 Mbit/s, 40 ms, 0.1 % loss", { rateBps: 50e6, delayMs: 20, loss: 0.001 }],
    [
      "50 Mbit/s, 40 ms, 0.1 % loss, strict CUBIC",
      { rateBps: 50e6, delayMs: 20, loss: 0.001 },
      { tcp: { congestion: "cubic-strict" } },
    ],
    [
      "50 Mbit/s, 40 ms, 0.1 % loss, Reno",
      { rateBps: 50e6, delayMs: 20, loss: 0.001 },
      { tcp: { congestion: "reno" } },
    ],
    ["50 Mbit/s, 40 ms, 1 % loss", { rateBps: 50e6, delayMs: 20, loss: 0.01 }],
  ]);
});
