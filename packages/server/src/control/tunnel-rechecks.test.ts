import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Doubt, TunnelRechecks } from "./tunnel-rechecks.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** In virtual time, unlike the timers of node:timers/promises. */
function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** Agents a, b and c. */
function looks(options: {
  holds?: (agentId: string) => Promise<boolean>;
  concerned?: () => Promise<readonly string[]>;
}) {
  const admitted = new Set(["a", "b", "c"]);
  const ended: string[] = [];
  const asked: string[] = [];
  const stayed: string[] = [];
  const begunAt = Date.now();
  let doneAt = 0;
  const subject = new TunnelRechecks({
    admitted: () => [...admitted],
    concerned: options.concerned ?? (async (agentIds) => agentIds),
    holds: async (agentId) => {
      asked.push(agentId);
      return (await options.holds?.(agentId)) ?? true;
    },
    end: (agentId) => {
      admitted.delete(agentId);
      ended.push(agentId);
    },
    stays: (agentId) => void stayed.push(agentId),
    onError: () => undefined,
    pause,
  });
  const doubt = async (what: Doubt): Promise<void> => {
    const done = subject.doubt(what).then(() => {
      doneAt = Date.now() - begunAt;
    });
    await vi.advanceTimersByTimeAsync(10_000);
    await done;
  };
  return { doubt, begin: (what: Doubt) => subject.doubt(what), ended, stayed, asked, at: () => doneAt };
}

const fails = (): Promise<never> => Promise.reject(new Error("no database"));

test("ends only the tunnels to agents for which no right is valid", async () => {
  const on = looks({ holds: async (agentId) => agentId !== "b" });
  await on.doubt({ userId: "u" });
  expect([on.ended, on.stayed]).toEqual([["b"], ["a", "c"]]);
});

test("a lasting failure ends only the tunnels to the agents in doubt", async () => {
  const on = looks({ holds: (agentId) => (agentId === "b" ? fails() : Promise.resolve(true)) });
  await on.doubt({ agentIds: ["a", "b"] });
  expect([on.ended, on.at()]).toEqual([["b"], 2_000]);
  expect(on.asked).not.toContain("c");
  expect(on.asked.filter((agentId) => agentId === "a")).toHaveLength(1);
});

test("a failure that passes ends nothing", async () => {
  let left = 2;
  const on = looks({ holds: () => (left-- > 0 ? fails() : Promise.resolve(true)) });
  await on.doubt({ agentIds: ["a"] });
  expect(on.ended).toEqual([]);
});

test("if it cannot be found out which agents a user concerns, all tunnels end", async () => {
  const on = looks({ concerned: fails });
  await on.doubt({ userId: "u" });
  expect(on.ended).toEqual(["a", "b", "c"]);
});

test("what is doubted during a look is looked up once, after it", async () => {
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const on = looks({
    holds: async () => {
      await held;
      return true;
    },
  });
  const first = on.begin({ agentIds: ["a"] });
  for (let count = 0; count < 100; count++) void on.begin({ agentIds: ["a", "b"] });
  release();
  await first;
  expect(on.asked).toEqual(["a", "a", "b"]);
});

test("what is doubted at whatever moment of a look is looked up", async () => {
  for (let turns = 0; turns < 40; turns++) {
    const on = looks({});
    const first = on.begin({ agentIds: ["a"] });
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    await on.begin({ agentIds: ["b"] });
    await first;
    expect([turns, on.asked]).toEqual([turns, ["a", "b"]]);
  }
});

test("a question that is not answered ends the tunnels to the agents in doubt, and a late answer changes nothing", async () => {
  const { promise: answer, resolve } = Promise.withResolvers<boolean>();
  const on = looks({ holds: (agentId) => (agentId === "b" ? answer : Promise.resolve(true)) });
  await on.doubt({ agentIds: ["a", "b"] });
  expect([on.ended, on.stayed, on.at()]).toEqual([["b"], ["a"], 2_000]);
  resolve(true);
  await vi.advanceTimersByTimeAsync(10_000);
  expect([on.ended, on.stayed, on.asked]).toEqual([["b"], ["a"], ["a", "b"]]);
  expect(vi.getTimerCount()).toBe(0);
});

test("if it is not found out in time which agents a user concerns, all tunnels end", async () => {
  const on = looks({ concerned: () => new Promise(() => undefined) });
  await on.doubt({ userId: "u" });
  expect([on.ended, on.at()]).toEqual([["a", "b", "c"], 2_000]);
});
