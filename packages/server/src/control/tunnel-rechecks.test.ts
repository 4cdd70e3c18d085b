import { expect, test } from "vitest";
import { type Doubt, TunnelRechecks } from "./tunnel-rechecks.ts";

/** Agents a, b and c; time passes only during pauses. */
function looks(options: {
  holds?: (agentId: string) => Promise<boolean>;
  concerned?: () => Promise<readonly string[]>;
}) {
  const admitted = new Set(["a", "b", "c"]);
  const ended: string[] = [];
  const asked: string[] = [];
  const stayed: string[] = [];
  let now = 0;
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
    pause: async (ms) => {
      now += ms;
    },
    now: () => now,
  });
  return { doubt: (what: Doubt) => subject.doubt(what), ended, stayed, asked, at: () => now };
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
  const first = on.doubt({ agentIds: ["a"] });
  for (let count = 0; count < 100; count++) void on.doubt({ agentIds: ["a", "b"] });
  release();
  await first;
  expect(on.asked).toEqual(["a", "a", "b"]);
});

test("what is doubted at whatever moment of a look is looked up", async () => {
  for (let turns = 0; turns < 40; turns++) {
    const on = looks({});
    const first = on.doubt({ agentIds: ["a"] });
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    await on.doubt({ agentIds: ["b"] });
    await first;
    expect([turns, on.asked]).toEqual([turns, ["a", "b"]]);
  }
});
