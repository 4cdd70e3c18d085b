/** The statements of the cluster's coordinator on a real PostgreSQL. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLogger } from "../../src/base/log.ts";
import { PostgresClusterDatabase } from "../../src/control/cluster/cluster-tables.ts";
import { Comparison } from "../../src/control/cluster/comparison.ts";
import type { Batch } from "../../src/control/cluster/outbox.ts";
import type { WholeServer } from "../../src/control/cluster/rows.ts";
import { openBackend } from "../../src/db/open-backend.ts";
import { Store } from "../../src/db/store.ts";
import { temporaryDirectory } from "../helpers.ts";
import { dropTestDatabase, testStorePlace } from "./test-database.ts";

const stateDir = temporaryDirectory();
let store: Store;
let database: PostgresClusterDatabase;

beforeAll(async () => {
  const log = createLogger({ sink: { write: () => undefined }, level: "error", format: "json" });
  store = await Store.on(await openBackend(await testStorePlace(stateDir), { applicationName: "test", log }), 0);
  database = new PostgresClusterDatabase(store.openConnection!);
});
afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
  await store?.close();
  await dropTestDatabase(stateDir);
});

const batch = (fields: Partial<Batch>): Batch => ({
  head: 0,
  peers: [],
  tunnels: [],
  signals: [],
  events: [],
  ...fields,
});
const peer = (id: string, rev: number) =>
  ({ id, rev, state: "here", kind: "client", session: rev, key: undefined, node: undefined, reason: "" }) as const;

async function wholeOf(server: string): Promise<WholeServer> {
  const comparison = new Comparison([server]);
  for (;;) {
    const whole = comparison.page(await database.readWhole(server, comparison.next!.after));
    if (whole !== undefined) return whole;
  }
}

describe("the whole of a server", () => {
  it("has every peer and tunnel once, as it is last, however many statements that takes", async () => {
    const me = randomUUID();
    await database.join(me, randomUUID());
    const ids = Array.from({ length: 1_500 }, () => randomUUID());
    const to = randomUUID();
    for (let at = 0; at < ids.length; at += 500) {
      const part = ids.slice(at, at + 500);
      const peers = part.map((id, i) => peer(id, 2 * (at + i) + 1));
      const tunnels = part.map((from, i) => ({ from, to, rev: 2 * (at + i) + 2, gone: false }));
      expect(await database.write(me, batch({ peers, tunnels, head: 2 * (at + part.length) }), 2 * at)).toBe(true);
    }
    const changed = { ...peer(ids[0]!, 3_001), state: "lost" } as const;
    await database.write(me, batch({ peers: [changed], head: 3_001 }), 3_000);
    const whole = await wholeOf(me);
    expect(whole.head).toBe(3_001);
    expect(whole.peers.map(({ id }) => id).sort()).toEqual([...ids].sort());
    expect(whole.peers.filter(({ state }) => state !== "here")).toEqual([
      expect.objectContaining({ id: ids[0], rev: 3_001, state: "lost" }),
    ]);
    expect(whole.tunnels).toHaveLength(ids.length);
    expect(new Set(whole.tunnels.map(({ from, gone }) => `${from} ${gone}`))).toEqual(
      new Set(ids.map((id) => `${id} false`)),
    );
  });

  it("is nothing where there is no such server", async () => {
    expect(await database.readWhole(randomUUID(), 0)).toMatchObject({ bad: 0, head: undefined });
  });
});

describe("a write", () => {
  it("is refused by a database that lost an earlier one, and leaves no row there", async () => {
    const me = randomUUID();
    await database.join(me, randomUUID());
    const write = (rev: number, written: number) =>
      database.write(me, batch({ peers: [peer(randomUUID(), rev)], head: rev }), written);
    expect(await write(1, 0)).toBe(true);
    expect(await write(3, 2)).toBe(false);
    expect(await wholeOf(me)).toMatchObject({ head: 1, peers: [{ rev: 1 }] });
    expect(await write(3, 1)).toBe(true);
  });
});
