import { ClientError } from "coder-client/base/client-error";
import type { AppUse } from "coder-protocol/rest/proxy-apps";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AppUses } from "./app-uses.ts";
import { UseReports } from "./use-reports.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const REFUSED = (status: number) => new ClientError("ERR_FORBIDDEN", "no", { status });

function started() {
  const uses = new AppUses(() => "id");
  const reports: (readonly AppUse[])[] = [];
  const failures: unknown[] = [];
  const answer: { error: unknown; wait: Promise<void> | undefined } = { error: undefined, wait: undefined };
  const reporting = new UseReports({
    uses,
    tell: async (stats) => {
      reports.push(stats);
      await answer.wait;
      if (answer.error !== undefined) throw answer.error;
    },
    now: Date.now,
    onError: (error) => failures.push(error),
  });
  const use = (slugOrPort = "8080") =>
    uses.begin({ userId: "u", workspaceId: "w", agentId: "a", method: "path", slugOrPort }, Date.now());
  return { uses, reports, failures, answer, reporting, use };
}

test("uses are reported every 30 s, and nothing is sent if there are none", async () => {
  const at = started();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(at.reports).toEqual([]);
  at.use()(Date.now());
  await vi.advanceTimersByTimeAsync(29_999);
  expect(at.reports).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(at.reports.map((stats) => stats.length)).toEqual([1]);
  await at.reporting.close();
  expect(at.reports).toHaveLength(1);
});

test("a report is repeated after a failure or a temporary refusal, and any other refusal is final", async () => {
  const at = started();
  at.use()(Date.now());
  for (const error of [new Error("away"), REFUSED(401), REFUSED(403), REFUSED(429), REFUSED(500)]) {
    at.answer.error = error;
    await at.reporting.report();
    expect([error, at.uses.size]).toEqual([error, 1]);
  }
  at.answer.error = REFUSED(400);
  await at.reporting.report();
  expect([at.uses.size, at.uses.counts, at.failures.length]).toEqual([0, { reported: 0, dropped: 1 }, 6]);
  await at.reporting.close();
});

test("many uses take several reports, each of which is reported once, however many are open", async () => {
  const at = started();
  for (let number = 0; number < 1_500; number++) at.use(String(number));
  await at.reporting.report();
  expect(at.reports.map((stats) => stats.length)).toEqual([1_024, 476]);
  expect(new Set(at.reports.flat().map(({ slug_or_port }) => slug_or_port)).size).toBe(1_500);
  await at.reporting.close();
});

test("closing waits for the report in progress and reports the rest", async () => {
  const at = started();
  const held = Promise.withResolvers<void>();
  at.answer.wait = held.promise;
  at.use("one")(Date.now());
  const first = at.reporting.report();
  at.use("two")(Date.now());
  const closed = at.reporting.close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(at.reports).toHaveLength(1);
  held.resolve();
  await Promise.all([first, closed]);
  expect(at.reports.map((stats) => stats.map(({ slug_or_port }) => slug_or_port))).toEqual([["one"], ["two"]]);
});
