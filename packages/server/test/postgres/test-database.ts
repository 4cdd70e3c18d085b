/** Databases for tests, if `npm run test:postgres` provides a PostgreSQL. Each state directory has its own schema. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import pg from "pg";
import type { ServerFlagValues } from "../../src/config/flags.ts";
import type { StorePlace } from "../../src/db/open-backend.ts";

/** URL of the administrator of the tier's PostgreSQL; undefined in the other tiers, which use SQLite. */
const ADMIN_URL = process.env["CODER_TEST_POSTGRES"];

/** The password in the URL of every test's database. */
export const TEST_DATABASE_PASSWORD = "dbpassword4711";

/** The settings that put a server's store into the tier's database; empty if the store is SQLite. */
export async function testDatabase(stateDir: string): Promise<ServerFlagValues> {
  return ADMIN_URL === undefined ? {} : { "postgres-url": await schemaOf(stateDir) };
}

/** The store of the server with that state directory, in the form that commands beside the server use. */
export async function testStorePlace(stateDir: string): Promise<StorePlace> {
  if (ADMIN_URL === undefined) return { file: join(stateDir, "coder.db") };
  return { postgres: { source: { url: await schemaOf(stateDir) }, maxOpen: 2, maxIdle: 0 } };
}

/** Removes what {@link testDatabase} made. */
export async function dropTestDatabase(stateDir: string): Promise<void> {
  if (ADMIN_URL === undefined) return;
  const name = schemaName(stateDir);
  await (await administrator()).query(`drop schema if exists ${name} cascade; drop role if exists ${name}`);
}

/** @returns the schema's URL. A role finds the schema that has its name, and equal names give the same schema. */
async function schemaOf(name: string): Promise<string> {
  const role = schemaName(name);
  const client = await administrator();
  const { rowCount } = await client.query("select 1 from pg_roles where rolname = $1", [role]);
  if (rowCount === 0) {
    await client.query(
      `create role ${role} login password '${TEST_DATABASE_PASSWORD}'; create schema ${role} authorization ${role}`,
    );
  }
  return urlOf(databaseOfWorker(), `${role}:${TEST_DATABASE_PASSWORD}`);
}

/** One database for each worker of vitest, because an advisory lock belongs to a database. */
function databaseOfWorker(): string {
  return `coder_test_${process.env["VITEST_POOL_ID"] ?? "0"}`;
}

function schemaName(name: string): string {
  return `t_${createHash("sha256").update(name).digest("hex").slice(0, 20)}`;
}

function urlOf(database: string, credentials?: string): string {
  const url = new URL(ADMIN_URL!);
  url.pathname = `/${database}`;
  if (credentials !== undefined) [url.username = "", url.password = ""] = credentials.split(":");
  return url.href;
}

let connected: Promise<pg.Client> | undefined;

/** One connection to the worker's database for the life of the worker; its queries run one after the other. */
function administrator(): Promise<pg.Client> {
  connected ??= connect();
  return connected;
}

async function connect(): Promise<pg.Client> {
  const first = new pg.Client({ connectionString: ADMIN_URL });
  await first.connect();
  const { rowCount } = await first.query("select 1 from pg_database where datname = $1", [databaseOfWorker()]);
  if (rowCount === 0) await first.query(`create database ${databaseOfWorker()}`);
  await first.end();
  const client = new pg.Client({ connectionString: urlOf(databaseOfWorker()) });
  await client.connect();
  // The worker ends without closing it.
  client.on("error", () => undefined);
  return client;
}
