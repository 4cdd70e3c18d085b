import { sql } from "kysely";
import pg from "pg";
import { expect, test } from "vitest";
import { byCodePoint, bytesType, inList } from "../../src/db/dialect.ts";
import { migrations } from "../../src/db/migrations/index.ts";
import type { PostgresBackend } from "../../src/db/postgres/backend.ts";
import { Connections } from "../../src/db/postgres/connections.ts";
import { migratePostgres } from "../../src/db/postgres/migration.ts";
import { Target } from "../../src/db/postgres/target.ts";
import { Store } from "../../src/db/store.ts";
import { emptyDatabase, type TestDatabase, userRow } from "./helpers.ts";

/** Ends every connection of one role except the caller's, as an administrator or a crash does. */
async function endConnections(database: TestDatabase): Promise<void> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()",
  );
  await client.end();
}

async function storeOn(database: TestDatabase): Promise<{ store: Store; backend: PostgresBackend }> {
  const backend = await database.open();
  return { backend, store: await Store.on(backend, 0) };
}

test("a statement that is sent often is prepared once, and still works after its table got a column", async () => {
  await using database = await emptyDatabase();
  const { store, backend } = await storeOn(database);
  const often = async (): Promise<void> => {
    for (let n = 0; n < 10; n++) await store.agents.byId("a");
  };
  const prepared = async (): Promise<string[]> => {
    const { rows } = await sql<{ statement: string }>`select statement from pg_prepared_statements`.execute(backend.db);
    return rows.map(({ statement }) => statement).filter((statement) => statement.includes('from "agents"'));
  };
  await often();
  expect(await prepared()).toHaveLength(1);
  const next = new pg.Client({ connectionString: database.url });
  await next.connect();
  await next.query("alter table agents add column of_the_next_release text");
  await often();
  await next.query("alter table agents add column another text");
  await store.transaction(({ agents }) => agents.byId("a"));
  await often();
  expect(await prepared()).toHaveLength(3);
  await next.end();
  await store.close();
});

test("several servers that start on an empty database migrate it once", async () => {
  await using database = await emptyDatabase();
  const stores = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const { store } = await storeOn(database);
      return store;
    }),
  );
  const deployments = await Promise.all(
    stores.map((store) => store.deployment({ fingerprint: "f", mayBegin: true }, 1)),
  );
  expect(new Set(deployments.map(({ deploymentId }) => deploymentId)).size).toBe(1);
  await Promise.all(stores.map((store) => store.close()));
});

test("a server waits while another one is migrating, and logs that it does", async () => {
  await using database = await emptyDatabase();
  const holder = new pg.Client({ connectionString: database.url, application_name: "coder holder" });
  await holder.connect();
  await holder.query("begin; select pg_advisory_xact_lock(7236121, 1)");
  const waiting = Promise.withResolvers<void>();
  const backend = await database.open({ onWaiting: () => waiting.resolve() });
  const opened = Store.on(backend, 0);
  await waiting.promise;
  expect(database.log.text).toContain("coder holder");
  await holder.end();
  await (await opened).close();
});

test("a migration that fails leaves no trace, and a schema for newer programs only is refused", async () => {
  await using database = await emptyDatabase();
  const { store } = await storeOn(database);
  const connections = new Connections({ ...database.options(), target: new Target({ url: database.url }) });
  const version = migrations.at(-1)!.version + 1;
  const failing = {
    version,
    name: "half",
    up: async (db: Parameters<(typeof migrations)[number]["up"]>[0]) => {
      await db.schema.createTable("half").addColumn("id", "text").addColumn("data", bytesType(db)).execute();
      throw new Error("power cut");
    },
  };
  const options = database.options();
  await expect(migratePostgres(connections, 1, { ...options, migrations: [...migrations, failing] })).rejects.toThrow(
    "power cut",
  );
  const adds = { ...failing, up: async () => undefined, compatibleFrom: version - 1 };
  expect(await migratePostgres(connections, 1, { ...options, migrations: [...migrations, adds] })).toEqual([version]);
  // This release beside the next one, whose step only added to the schema.
  expect(await migratePostgres(connections, 1, options)).toEqual([]);
  const breaks = { ...adds, version: version + 1, compatibleFrom: version + 1 };
  await migratePostgres(connections, 1, { ...options, migrations: [...migrations, adds, breaks] });
  await expect(migratePostgres(connections, 1, options)).rejects.toMatchObject({ code: "ERR_STORE_TOO_NEW" });
  await connections.end();
  await store.close();
});

test("queries continue after every connection was ended, and a transaction is repeated", async () => {
  await using database = await emptyDatabase();
  const { store } = await storeOn(database);
  await store.users.insert(userRow("a"));
  for (let round = 0; round < 3; round++) {
    await endConnections(database);
    expect(await store.users.count()).toBe(1 + round);
    let runs = 0;
    await store.transaction(async ({ users }) => {
      await users.insert(userRow(`b${round}`));
      if (++runs === 1) await endConnections(database);
      expect(await users.count()).toBe(2 + round);
    });
    expect(runs).toBe(2);
  }
  await store.close();
});

test("two transactions that lock rows in opposite orders both succeed", async () => {
  await using database = await emptyDatabase();
  const { store } = await storeOn(database);
  for (const id of ["a", "b"]) await store.users.insert(userRow(id));
  const met = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const both = async (mine: 0 | 1, first: string, second: string) =>
    store.transaction(async ({ users }) => {
      await users.touch(first, 1 + mine);
      met[mine].resolve();
      await met[1 - mine]!.promise;
      await users.touch(second, 1 + mine);
    });
  await Promise.all([both(0, "a", "b"), both(1, "b", "a")]);
  await store.close();
});

test("values are returned as with SQLite", async () => {
  await using database = await emptyDatabase();
  const { store, backend } = await storeOn(database);
  await store.users.insert({ ...userRow("a", "Zoë"), name: "NUL \0 and 🐘", created_at: 2 ** 53 - 1 });
  expect(await store.users.byUsername("zoË")).toMatchObject({ name: "NUL ␀ and 🐘", created_at: 2 ** 53 - 1 });
  const sums = await sql<{ sum: number }>`select sum(x) as sum from (values (1::bigint), (2)) as v(x)`.execute(
    backend.db,
  );
  expect(sums.rows).toEqual([{ sum: 3 }]);
  await expect(sql`select 9007199254740993::bigint as x`.execute(backend.db)).rejects.toThrow("beyond the integers");
  await store.close();
});

test("text sorts by code point, and a list of ids is one parameter", async () => {
  await using database = await emptyDatabase();
  const { store, backend } = await storeOn(database);
  for (const name of ["b", "B-1", "a", "_", "a-b", "ab"]) await store.users.insert(userRow(`id-${name}`, name));
  const rows = await backend.db
    .selectFrom("users")
    .select("username")
    .where("id", "in", inList(backend.db, ["id-b", "id-a", "id-_", "id-a-b", "id-ab"]))
    .orderBy(byCodePoint(backend.db, "username_key"))
    .execute();
  expect(rows.map(({ username }) => username)).toEqual(["_", "a", "a-b", "ab", "b"]);
  await store.close();
});

test("an old server and a database with another encoding are refused with a next step", async () => {
  await using database = await emptyDatabase();
  const admin = new pg.Client({ connectionString: process.env["CODER_TEST_POSTGRES"] });
  await admin.connect();
  const name = `latin_${process.pid}`;
  await admin.query(
    `create database ${name} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' locale_provider libc`,
  );
  const url = new URL(process.env["CODER_TEST_POSTGRES"]!);
  url.pathname = `/${name}`;
  await expect(database.open({ source: { url: url.href } })).rejects.toMatchObject({ code: "ERR_STORE_ENCODING" });
  await admin.query(`drop database ${name} with (force)`);
  await admin.end();
});
