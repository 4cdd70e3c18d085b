/** Rights that a server took away without publishing the event, because it ended first. */
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AccessChanges } from "../../src/auth/access-changes.ts";
import { AccessEvents } from "../../src/auth/access-events.ts";
import { PostgresClusterDatabase } from "../../src/control/cluster/cluster-tables.ts";
import { openBackend } from "../../src/db/open-backend.ts";
import { Store } from "../../src/db/store.ts";
import { addMember, firstUser, send, startServer, type TestServer, temporaryDirectory } from "../helpers.ts";
import { TestPeer } from "../peers.ts";
import { testDatabase, testStorePlace } from "./test-database.ts";

const eventually = { timeout: 20_000, interval: 50 };
const cleanups: (() => Promise<unknown>)[] = [];
const stateDir = temporaryDirectory();
let server: TestServer;
let bob: { readonly token: string; readonly id: string };
let client: TestPeer;
let rows: pg.Client;

beforeEach(async () => {
  server = await startServer({ stateDir });
  cleanups.push(async () => server[Symbol.asyncDispose]());
  const { token } = await firstUser(server.url);
  bob = await addMember(server.url, token, "bob");
  client = await TestPeer.open(server.url, bob.token, "/api/v2/tailnet");
  cleanups.push(async () => client[Symbol.asyncDispose]());
  rows = new pg.Client({ connectionString: String((await testDatabase(stateDir))["postgres-url"]) });
  await rows.connect();
  cleanups.push(() => rows.end());
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Another server on the same database, which shares nothing else with the running one, until its end. */
async function otherServer() {
  const backend = await openBackend(await testStorePlace(stateDir), {
    applicationName: "other",
    log: server.server.parts.log,
  });
  const store = await Store.on(backend, 0);
  cleanups.push(() => store.close());
  return store;
}

const waiting = async (): Promise<number> =>
  Number((await rows.query("select count(*) as count from access_outbox")).rows[0].count);

describe("a right that is taken away", () => {
  it("security R10: has ended at every server, even if the one that took it away ended before it published the event", async () => {
    const store = await otherServer();
    // The commit and nothing after it: these events have no listener.
    const changes = new AccessChanges(store, new AccessEvents(), server.server.parts.log);
    const [keyId] = await store.apiKeys.ids(bob.id);
    await changes.transaction(async ({ apiKeys }, ends) => {
      await apiKeys.remove(keyId!);
      ends({ kind: "key-revoked", keyId: keyId!, userId: bob.id });
    });
    expect(String(await client.connection.closed)).toContain("access revoked");
    await vi.waitFor(async () => expect(await waiting()).toBe(0), eventually);
    expect((await rows.query("select body from cluster_events where kind = 'access'")).rows).toHaveLength(1);
  });

  it("security R10: has ended even if the server that adopted the event ended before it wrote it", async () => {
    const store = await otherServer();
    const cluster = new PostgresClusterDatabase(store.openConnection!);
    cleanups.push(() => cluster[Symbol.asyncDispose]());
    const event = { kind: "user-gone", userId: bob.id };
    // Taking the event gives it a new time, so that no other server takes it as well.
    const later = Date.now() + 3_600_000;
    await rows.query("insert into access_outbox values ('1', $1, $2)", [JSON.stringify(event), later]);
    expect(await cluster.adopt()).toEqual([]);
    expect(await waiting()).toBe(1);
    await rows.query("update access_outbox set created_at = 0 where id = '1'");
    expect(String(await client.connection.closed)).toContain("access revoked");
    await vi.waitFor(async () => expect(await waiting()).toBe(0), eventually);
  });

  it("is adopted by one server at a time, which renews its time", async () => {
    const store = await otherServer();
    const cluster = new PostgresClusterDatabase(store.openConnection!);
    cleanups.push(() => cluster[Symbol.asyncDispose]());
    const event = { kind: "user-gone", userId: "00000000-0000-4000-8000-000000000000" };
    await rows.query("insert into access_outbox values ('1', $1, 0)", [JSON.stringify(event)]);
    await cluster.adopt(); // unless the running server was first
    expect((await rows.query("select id from access_outbox where created_at = 0")).rows).toEqual([]);
  });

  it("leaves nothing behind if the server keeps running", async () => {
    await send(server.url, "POST", "/api/v2/users/logout", { token: bob.token });
    expect(String(await client.connection.closed)).toContain("access revoked");
    await vi.waitFor(async () => expect(await waiting()).toBe(0), eventually);
  });
});
