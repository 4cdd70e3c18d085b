import { expect, test } from "vitest";
import { throughput } from "./throughput.ts";

test("one stream fills 90 % of 100 Mbit/s at 100 ms after start-up", () => {
  expect(throughput({ rateBps: 100e6, delayMs: 50 }, 2000, 20_000)).toBeGreaterThan(90);
});

test("one stream gets 60 % of 100 Mbit/s at 100 ms although one packet in a thousand is lost", () => {
  expect(throughput({ rateBps: 100e6, delayMs: 50, loss: 0.001 }, 2000, 20_000)).toBeGreaterThan(60);
});
