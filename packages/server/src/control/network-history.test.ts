import { expect, test } from "vitest";
import { HISTORY_RANGES, NetworkHistory } from "./network-history.ts";

const START = Date.UTC(2026, 0, 1);
const sample = (latencyMs: number | undefined, direct = 1, relayed = 0) => ({ latencyMs, direct, relayed });

test("an hour in steps of ten seconds, a day in steps of five minutes; what was not recorded is a gap", () => {
  const history = new NetworkHistory();
  for (let second = 0; second < 3_600; second += 10) {
    if (second >= 1_000 && second < 2_000) continue;
    history.record("a", sample(second < 1_000 ? 20 : 40, 1, second < 1_000 ? 0 : 2), START + second * 1_000);
  }
  const hour = history.read("a", "1h", START + 3_590_000);
  expect([hour.step_s, hour.from, hour.latency_ms.length]).toEqual([10, new Date(START).toISOString(), 360]);
  expect([
    hour.latency_ms[0],
    hour.latency_ms[99],
    hour.latency_ms[100],
    hour.latency_ms[199],
    hour.latency_ms[200],
  ]).toEqual([20, 20, null, null, 40]);
  expect([hour.direct[0], hour.direct[150], hour.relayed[0], hour.relayed[359]]).toEqual([1, null, 0, 2]);
  const day = history.read("a", "24h", START + 3_590_000);
  expect([day.step_s, day.latency_ms.length]).toEqual([300, 288]);
  expect(day.latency_ms.slice(-12)).toEqual([20, 20, 20, 20, null, null, 40, 40, 40, 40, 40, 40]);
  // Twenty minutes later, a third of the hour has left the range.
  const later = history.read("a", "1h", START + 4_790_000);
  expect(later.latency_ms.filter((value) => value !== null)).toHaveLength(160);
  expect(history.read("a", "1h", START + 8_000_000).latency_ms.every((value) => value === null)).toBe(true);
});

test("a step without a measurement has clients but no latency; several samples give their mean and the most clients", () => {
  const history = new NetworkHistory();
  history.record("a", sample(undefined, 3, 1), START);
  expect(history.read("a", "1h", START)).toMatchObject({ direct: expect.arrayContaining([3]) });
  expect(history.read("a", "1h", START).latency_ms.at(-1)).toBeNull();
  for (const [index, latency] of [10, 20, 60].entries()) history.record("a", sample(latency, index), START + index);
  expect([history.read("a", "1h", START).latency_ms.at(-1), history.read("a", "1h", START).direct.at(-1)]).toEqual([
    30, 3,
  ]);
});

test("agents are bounded: the one recorded longest ago is forgotten", () => {
  const history = new NetworkHistory(3);
  for (const agent of ["a", "b", "c"]) history.record(agent, sample(1), START);
  history.record("a", sample(1), START);
  history.record("d", sample(1), START);
  expect(history.size).toBe(3);
  const known = (agent: string) => history.read(agent, "1h", START).direct.at(-1) === 1;
  expect(["a", "b", "c", "d"].map(known)).toEqual([true, false, true, true]);
  history.forget("a");
  expect([known("a"), history.size]).toEqual([false, 2]);
  expect(history.read("never", "24h", START).direct).toHaveLength(HISTORY_RANGES["24h"].size);
});
