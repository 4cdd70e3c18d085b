/** The statements of the cluster's coordinator on a real PostgreSQL. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
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
  it("has every peer and tunnel once, in its latest state, however many statements that takes", async () => {
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

  it("is empty if there is no such server", async () => {
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

  it("that timed out and runs after a later one changes nothing", async () => {
    const me = randomUUID();
    await database.join(me, randomUUID());
    const given = peer(randomUUID(), 2);
    const later = { ...given, rev: 4, state: "disconnected" } as const;
    expect(await database.write(me, batch({ peers: [later], head: 4 }), 0)).toBe(true);
    expect(await database.write(me, batch({ peers: [given], head: 2 }), 0)).toBe(false);
    expect(await wholeOf(me)).toMatchObject({ head: 4, peers: [{ rev: 4, state: "disconnected" }] });
  });
});

describe("hints", () => {
  it("are accepted with what a later protocol appends to them, and other notifications are not", async () => {
    const heard: [string, number][] = [];
    expect(await database.listen({ onHint: (...hint) => heard.push(hint), onLost: () => undefined })).toBe(true);
    const client = await store.openConnection!(10_000);
    const other = randomUUID();
    const hints = [`${other} 5`, `${other}`, `${other} five`, `x ${other} 6`, `${other} 7x`, `${other} 8 and more`];
    for (const hint of hints) await client.query("select pg_notify('coder_tn', $1)", [hint]);
    await vi.waitFor(() => expect(heard.at(-1)).toEqual([other, 8]), { timeout: 20_000 });
    expect(heard).toEqual([
      [other, 5],
      [other, 8],
    ]);
    await client.end();
  });
});

describe("rows of another server", () => {
  it("security R24: that break a limit or make no sense are left out and counted, and those after them are read", async () => {
    const other = randomUUID();
    const good = { peer: randomUUID(), other: randomUUID() };
    await database.join(other, randomUUID());
    const client = await store.openConnection!(10_000);
    let rev = 0;
    const insertPeer = (fields: {
      id?: string;
      state?: number;
      kind?: number;
      key?: number;
      node?: number;
      reason?: string;
    }) =>
      client.query("insert into tailnet_peers values ($1, $2, $3, $4, $5, 1, $6, $7, $8, 0)", [
        other,
        fields.id ?? randomUUID(),
        ++rev,
        fields.state ?? 0,
        fields.kind ?? 1,
        Buffer.alloc(fields.key ?? 32),
        Buffer.alloc(fields.node ?? 16),
        fields.reason ?? "",
      ]);
    const insertTunnel = (to: string) =>
      client.query("insert into tailnet_tunnels values ($1, $2, $3, $4, 0, 0)", [other, good.peer, to, ++rev]);
    const insertEvent = (body: string) =>
      client.query("insert into cluster_events values ($1, $2, 'access', $3, 0)", [other, ++rev, body]);
    try {
      await insertPeer({ reason: "x".repeat(257) });
      await insertPeer({ key: 31 });
      await insertPeer({ state: 99 });
      await insertPeer({ state: -1 });
      await insertPeer({ kind: -1 });
      await insertPeer({ id: "not-an-id" });
      await insertTunnel("not-an-id");
      await client.query("insert into tailnet_signals values ($1, $2, 'x', 'y', 0)", [other, ++rev]);
      await insertEvent("x".repeat(4_097));
      const bad = rev;
      const large = randomUUID();
      await insertPeer({ id: large, node: 8 * 1024 + 1 });
      await insertPeer({ id: good.peer, node: 8 * 1024, reason: "x".repeat(256) });
      await insertTunnel(good.other);
      await insertEvent("x".repeat(4_096));
      const read = await database.read(other, 0, rev);
      expect({ bad: read.bad, seen: read.seen }).toEqual({ bad, seen: rev });
      expect(read.rows.peers.map(({ id }) => id)).toEqual([large, good.peer]);
      expect(read.rows.tunnels.map(({ to }) => to)).toEqual([good.other]);
      expect(read.rows.signals).toEqual([]);
      expect(read.events).toHaveLength(1);
      expect((await database.nodes(other, [large, good.peer])).map(({ id }) => id)).toEqual([good.peer]);
    } finally {
      await client.end();
    }
  });
});
