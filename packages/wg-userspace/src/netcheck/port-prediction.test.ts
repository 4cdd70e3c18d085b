import { expect, it } from "vitest";
import { MAX_POOL, predictPorts } from "./port-prediction.ts";

it("continues a counter", () => {
  expect(predictPorts([40_000, 40_001, 40_002]).slice(0, 3)).toEqual([40_003, 40_004, 40_005]);
  expect(predictPorts([50_000, 50_002, 50_004])).toContain(50_006);
});

it("covers a small pool, its aligned block first", () => {
  const guesses = predictPorts([40_012, 40_050, 40_031]);
  expect(guesses.slice(0, MAX_POOL)).toEqual(Array.from({ length: 64 }, (_, i) => 40_000 - (40_000 % 64) + i));
  for (let start = 40_012; start > 40_050 - MAX_POOL; start--) expect(guesses).toContain(start);
});

it("predicts nothing without a pattern", () => {
  expect(predictPorts([])).toEqual([]);
  expect(predictPorts([40_000, 40_001])).toEqual([]);
  expect(predictPorts([40_000, 40_000, 40_000])).toEqual([]); // an easy NAT
  expect(predictPorts([1_200, 40_000, 9_000])).toEqual([]);
});

it("stays within the valid ports", () => {
  expect(Math.max(...predictPorts([65_533, 65_534, 65_535]))).toBeLessThanOrEqual(65_535);
  expect(Math.min(...predictPorts([1_030, 1_025, 1_028]))).toBeGreaterThanOrEqual(1_024);
});
