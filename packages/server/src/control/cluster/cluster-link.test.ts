/** How often a server writes to the tables of the cluster, in virtual time. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Coordinator } from "../coordinator.ts";
import { ClusterCore } from "./cluster-core.ts";
import type { ClusterDatabase } from "./cluster-database.ts";
import { ClusterLink } from "./cluster-link.ts";
import type { Batch } from "./outbox.ts";

const ME = "00000000-0000-4000-8000-000000000001";
const STATEMENT_MS = 3;

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

/** What a statement answers after its time, which is virtual. */
async function statement<Result>(result: Result): Promise<Result> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, STATEMENT_MS);
  await over;
  return result;
}

/** A database that records the batches, with the time at which each was sent. */
class Recording implements ClusterDatabase {
  readonly batches: { readonly events: number; readonly atMs: number }[] = [];
  #head = 0;

  async heartbeat() {
    const row = { id: ME, replicaId: "replica", head: this.#head, ageMs: 0, drainingMs: undefined };
    return await statement({ servers: [row], databaseMs: 1, queueUsage: 0 });
  }

  async write(_me: string, { events, head }: Batch): Promise<boolean> {
    this.batches.push({ events: events.length, atMs: performance.now() });
    this.#head = head;
    return await statement(true);
  }

  join = (): Promise<void> => statement(undefined);
  hint = (): Promise<void> => statement(undefined);
  drain = (): Promise<void> => statement(undefined);
  leave = (): Promise<void> => statement(undefined);
  sweep = (): Promise<void> => statement(undefined);
  listen = (): Promise<boolean> => statement(true);
  replicas = (): Promise<[]> => statement([]);
  adopt = (): Promise<[]> => statement([]);
  nodes = (): Promise<[]> => statement([]);
  heads = (): Promise<Map<string, number>> => statement(new Map<string, number>());
  read = (): Promise<never> => Promise.reject(new Error("there is no other server"));
  readWhole = (): Promise<never> => Promise.reject(new Error("there is no other server"));
  async [Symbol.asyncDispose](): Promise<void> {}
}

async function opened() {
  const database = new Recording();
  const clock = (): number => performance.now();
  const core = new ClusterCore({
    me: ME,
    coordinator: new Coordinator(),
    now: clock,
    databaseMs: clock,
    monotonicMs: clock,
  });
  const silent = (): void => undefined;
  const link = new ClusterLink({
    database,
    core,
    me: ME,
    replica: { id: "replica", hostname: "host", relayAddress: "", regionId: 1, version: "v0", startedAt: 0 },
    log: { debug: silent, info: silent, warn: silent },
    problem: () => "",
    isolation: { isolated: silent, shed: silent, keep: silent, freeze: silent, back: silent, settled: silent },
    isReady: async () => true,
  });
  const opening = link.open();
  await vi.advanceTimersByTimeAsync(100);
  await opening;
  const close = async (): Promise<void> => {
    const closing = link.close();
    await vi.advanceTimersByTimeAsync(5_000);
    await closing;
  };
  let count = 0;
  const tell = (): void => link.tell({ key: `event ${++count}`, kind: "change", body: "{}" });
  return { database, tell, close };
}

test("a change that comes alone is written at once", async () => {
  const { database, tell, close } = await opened();
  const toldAtMs: number[] = [];
  for (let i = 0; i < 4; i++) {
    await vi.advanceTimersByTimeAsync(100);
    toldAtMs.push(performance.now());
    tell();
    await vi.advanceTimersByTimeAsync(0);
  }
  expect(database.batches).toEqual(toldAtMs.map((atMs) => ({ events: 1, atMs })));
  await close();
});

test("while changes keep coming, those of 40 ms are written together, and none is left", async () => {
  const { database, tell, close } = await opened();
  for (let i = 0; i < 1_000; i++) {
    tell();
    await vi.advanceTimersByTimeAsync(1);
  }
  await vi.advanceTimersByTimeAsync(100);
  expect(database.batches.reduce((sum, { events }) => sum + events, 0)).toBe(1_000);
  expect(database.batches.length).toBeLessThan(40);
  await close();
});

test("full batches are written one after the other", async () => {
  const { database, tell, close } = await opened();
  for (let i = 0; i < 1_750; i++) tell();
  await vi.advanceTimersByTimeAsync(8 * STATEMENT_MS + 10);
  expect(database.batches.map(({ events }) => events)).toEqual([500, 500, 500, 250]);
  await close();
});
