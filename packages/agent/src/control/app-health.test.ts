import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import { DrpcError, UNIMPLEMENTED_CODE } from "coder-protocol/drpc/async";
import { Agent, WorkspaceApp_Health as Health, ManifestSchema } from "coder-protocol/gen/agent_pb.js";
import { expect, test } from "vitest";
import { AppHealth } from "./app-health.ts";

const ID = "11111111-2222-3333-4444-555555555555";
const OTHER = "11111111-2222-3333-4444-666666666666";
const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(Health).map(([name, value]) => [value, name]));
const URL = "http://127.0.0.1:8080/up";

const apps = (...list: { id?: string; url?: string; seconds?: number; threshold?: number }[]) =>
  create(ManifestSchema, {
    apps: list.map(({ id = ID, url = URL, seconds = 5, threshold = 3 }) => ({
      id: uuidToBytes(id),
      healthcheck: { url, threshold, interval: durationFromMs(seconds * 1000) },
    })),
  }).apps;

/** Apps whose programs answer as the test says, and whose timers the test runs. */
function harness() {
  const timers: { run: () => void; afterMs: number; cancelled: boolean }[] = [];
  const asked: string[] = [];
  const serving = new Map<string, boolean>();
  const health = new AppHealth({
    check: async (url) => {
      asked.push(url);
      return serving.get(url) ?? false;
    },
    schedule: (run, afterMs) => {
      const timer = { run, afterMs, cancelled: false };
      timers.push(timer);
      return () => {
        timer.cancelled = true;
      };
    },
    now: () => 0,
  });
  return {
    health,
    asked,
    timers,
    serving,
    /** Runs each pending timer once, and waits for the checks. */
    tick: async () => {
      await settled();
      for (const timer of timers.splice(0)) if (!timer.cancelled) timer.run();
      await settled();
    },
  };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A connection that collects reports and ends after a number of them. */
function connection(count: number, fail?: Error) {
  const reports: string[] = [];
  const stop = new AbortController();
  let arrived = Promise.withResolvers<void>();
  const rpc = {
    unary: async (method: unknown, request: { updates: { id: Uint8Array; health: Health }[] }) => {
      if (method !== Agent.method.batchUpdateAppHealths) return create(ManifestSchema, {});
      reports.push(
        request.updates
          .map(({ id, health }) => `${uuidFromBytes(id)?.slice(-1)} ${NAMES.get(health)}`)
          .sort()
          .join(", "),
      );
      if (reports.length >= count) stop.abort();
      arrived.resolve();
      arrived = Promise.withResolvers();
      if (fail !== undefined) throw fail;
      return {};
    },
  } as unknown as Parameters<AppHealth["send"]>[0];
  const run = async (health: AppHealth): Promise<unknown> => Promise.allSettled(health.send(rpc, stop.signal));
  return { reports, run, arrived: () => arrived.promise };
}

test("an app is healthy after one success, and unhealthy after failures in a row", async () => {
  const { health, serving, tick } = harness();
  serving.set(URL, true);
  health.update(apps({}));
  await settled();
  const seen: string[] = [];
  const state = async (): Promise<void> => {
    const at = connection(1);
    await at.run(health);
    seen.push(at.reports[0]!);
  };
  await state();
  serving.set(URL, false);
  await tick();
  await tick();
  await state();
  await tick();
  await state();
  serving.set(URL, true);
  await tick();
  await state();
  health.close();
  expect(seen).toEqual(["5 HEALTHY", "5 HEALTHY", "5 UNHEALTHY", "5 HEALTHY"]);
});

test("every connection begins with a report of all, and changes follow together", async () => {
  const { health, serving, tick } = harness();
  const second = "http://127.0.0.1:9090/up";
  health.update(apps({}, { id: OTHER, url: second, threshold: 1 }));
  await settled();
  const first = connection(2);
  const arrived = first.arrived();
  const running = first.run(health);
  await arrived;
  serving.set(URL, true);
  serving.set(second, true);
  await tick();
  await running;
  expect(first.reports).toEqual(["5 INITIALIZING, 6 UNHEALTHY", "5 HEALTHY, 6 HEALTHY"]);
  const again = connection(1);
  await again.run(health);
  expect(again.reports).toEqual(["5 HEALTHY, 6 HEALTHY"]);
  health.close();
});

test("apps without a check are left alone, and a check that did not change keeps what it knows", async () => {
  const { health, asked, timers } = harness();
  health.update(apps({ url: "" }, { id: OTHER, seconds: 0 }, { id: OTHER, threshold: 0 }));
  await settled();
  expect(asked).toEqual([]);
  health.update(apps({}));
  await settled();
  health.update(apps({}));
  await settled();
  expect([asked, timers.map(({ afterMs }) => afterMs)]).toEqual([[URL], [5000]]);
  health.update(apps({ seconds: 10 }));
  await settled();
  expect([asked.length, timers[0]!.cancelled, timers[1]!.afterMs]).toEqual([2, true, 10_000]);
  health.update([]);
  expect(timers[1]!.cancelled).toBe(true);
  health.update(apps({ seconds: 1e9 }));
  health.close();
  health.update(apps({}));
  await settled();
  expect(asked.length).toBe(3);
});

test("a deployment that knows no such report ends no connection", async () => {
  const { health } = harness();
  health.update(apps({}));
  await settled();
  const at = connection(1, new DrpcError(UNIMPLEMENTED_CODE, "unknown rpc"));
  const [reported] = (await at.run(health)) as PromiseSettledResult<void>[];
  expect(String((reported as PromiseRejectedResult).reason)).toContain("abort");
  health.close();
});
