import { copyFileSync, existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Kysely, sql } from "kysely";
import { ServerError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { maskedPostgresUrl, parsePostgresUrl } from "../base/postgres-url.ts";
import type { Backend } from "../db/backend.ts";
import { migrations } from "../db/migrations/index.ts";
import { openBackend, type StorePlace } from "../db/open-backend.ts";
import type { Database } from "../db/schema.ts";
import { MOVED_FILE } from "../state/moved.ts";
import { acquireStateDir, type StateDir, syncDirectory, writePrivateFile } from "../state/state-dir.ts";
import { copyTables, type TableCopy } from "./copy-tables.ts";

/** One end of the move: the state directory of a SQLite store, or the URL of a database. */
export type StoreEnd = { readonly stateDir: string } | { readonly url: string };

export interface MoveOptions {
  readonly from: StoreEnd;
  readonly to: StoreEnd;
  /** Copies and compares, then rolls everything back. */
  readonly dryRun: boolean;
  readonly now: number;
  readonly signal: AbortSignal;
  readonly log: Pick<Logger, "warn" | "info" | "debug">;
}

const CONNECTIONS = { maxOpen: 2, maxIdle: 0 };
const SQLITE_PREFIX = "sqlite:";

/** Reads `sqlite:<state directory>` or the URL of a PostgreSQL database. Throws ServerError ERR_CONFIG. */
export function parseStoreEnd(text: string, flag: string): StoreEnd {
  const stateDir = text.slice(SQLITE_PREFIX.length);
  if (text.startsWith(SQLITE_PREFIX) && stateDir !== "") return { stateDir };
  const parsed = parsePostgresUrl(text);
  if (!("error" in parsed)) return { url: text };
  const problem = /^postgres(ql)?:/.test(text) ? parsed.error : "must be sqlite:<state directory> or postgres://…";
  throw new ServerError("ERR_CONFIG", `${flag} ${problem}`);
}

/** The text for messages, without a password. */
export function storeEndText(end: StoreEnd): string {
  if ("stateDir" in end) return `${SQLITE_PREFIX}${end.stateDir}`;
  const parsed = parsePostgresUrl(end.url);
  return "error" in parsed ? "postgres://" : maskedPostgresUrl(parsed);
}

/**
 * Copies a deployment from one kind of store to the other. No server may be running on either. The source is unchanged, except
 * for the file that names the new store; the target gets everything, compared row by row, or nothing. Throws ServerError, or
 * `signal.reason`.
 */
export async function migrateStore(options: MoveOptions): Promise<readonly TableCopy[]> {
  const { from, to, dryRun } = options;
  if ("stateDir" in from === "stateDir" in to) {
    throw new ServerError("ERR_CONFIG", "--from and --to must be of different kinds", {
      why: "the command moves a store between SQLite and PostgreSQL",
      nextSteps: ["copy a SQLite store with coder server backup, and a PostgreSQL database with pg_dump"],
    });
  }
  const directory = "stateDir" in from ? from.stateDir : "stateDir" in to ? to.stateDir : "";
  if ("stateDir" in from && !existsSync(join(directory, "coder.db"))) {
    throw new ServerError("ERR_STATE_DIR", `There is no deployment in "${directory}"`, {
      why: "it holds no coder.db",
    });
  }
  const held = acquireStateDir(directory);
  const work = mkdtempSync(join(held.path, "migrate-store-"));
  try {
    const copies =
      "stateDir" in from
        ? await intoPostgres(held, work, postgresPlace(to), options)
        : await intoFile(held, work, postgresPlace(from), options);
    if (!dryRun && "stateDir" in from) writePrivateFile(held.path, MOVED_FILE, `${storeEndText(to)}\n`);
    if (!dryRun && "stateDir" in to) rmSync(join(held.path, MOVED_FILE), { force: true });
    return copies;
  } finally {
    rmSync(work, { recursive: true, force: true });
    held.release();
  }
}

/** The source is copied first, because merely reading a SQLite database may change its files. */
async function intoPostgres(
  source: StateDir,
  work: string,
  target: StorePlace,
  options: MoveOptions,
): Promise<readonly TableCopy[]> {
  for (const suffix of ["", "-wal"]) {
    const path = `${source.databasePath}${suffix}`;
    if (existsSync(path)) copyFileSync(path, join(work, `coder.db${suffix}`));
  }
  const from = await openBackend({ file: join(work, "coder.db") }, backendOptions(options));
  try {
    await from.migrate(options.now);
    const to = await openBackend(target, backendOptions(options));
    try {
      return await transfer(from, to, options);
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

/** The file appears under its name only when it is complete. */
async function intoFile(
  target: StateDir,
  work: string,
  source: StorePlace,
  options: MoveOptions,
): Promise<readonly TableCopy[]> {
  if (existsSync(target.databasePath)) {
    throw new ServerError("ERR_STATE_DIR", `There is a database in "${target.path}" already`, {
      why: "it would be overwritten",
      nextSteps: ["name a directory without coder.db, or move that file away"],
    });
  }
  const file = join(work, "coder.db");
  const from = await openBackend(source, backendOptions(options));
  let copies: readonly TableCopy[];
  try {
    const to = await openBackend({ file }, backendOptions(options));
    try {
      copies = await transfer(from, to, options);
    } finally {
      // Closing merges everything into the one file.
      await to.close();
    }
  } finally {
    await from.close();
  }
  if (!options.dryRun) {
    renameSync(file, target.databasePath);
    syncDirectory(target.path);
  }
  return copies;
}

async function transfer(from: Backend, to: Backend, options: MoveOptions): Promise<readonly TableCopy[]> {
  let copies: readonly TableCopy[] = [];
  try {
    await from.snapshot(async (source) => {
      await refuseOtherSchema(source);
      await refuseServers(from, options.from);
      await to.install(options.now, async (target) => {
        await refuseServers(to, options.to);
        await refuseUsers(target, options.to);
        const result = await copyTables(source, target, options.signal);
        if (result.different.length > 0) throw notEqual(result.different);
        copies = result.copies;
        if (options.dryRun) throw new DryRunEnds();
      });
    });
  } catch (error) {
    if (!(error instanceof DryRunEnds)) throw error;
  }
  return copies;
}

/** Thrown to roll back the transaction of a dry run. */
class DryRunEnds extends Error {}

async function refuseOtherSchema(source: Kysely<Database>): Promise<void> {
  const rows = await source.selectFrom("schema_migrations").select("version").orderBy("version").execute();
  const versions = rows.map(({ version }) => version);
  if (versions.join() === migrations.map(({ version }) => version).join()) return;
  throw new ServerError("ERR_STORE_VERSION", "The source has the schema of another release", {
    why: `it has version ${versions.at(-1) ?? 0}, and this release has ${migrations.at(-1)!.version}`,
    nextSteps: ["start a server of this release on the source once, stop it, then try again"],
  });
}

async function refuseUsers(target: Kysely<Database>, end: StoreEnd): Promise<void> {
  const { count } = await target
    .selectFrom("users")
    .select((build) => build.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  if (Number(count) === 0) return;
  throw new ServerError("ERR_STORE_DAMAGED", `${storeEndText(end)} has a deployment already`, {
    why: `it holds ${count} users, and moving a store never overwrites one`,
    nextSteps: ["name an empty database"],
  });
}

/**
 * Refuses a PostgreSQL database to which a server is connected. A server on a SQLite file is kept out by the lock of its state
 * directory.
 */
async function refuseServers(backend: Backend, end: StoreEnd): Promise<void> {
  if ("stateDir" in end) return;
  const { rows } = await sql<{ name: string }>`
    select application_name as name from pg_stat_activity
    where datname = current_database() and application_name ~ '^coder [0-9a-f]{8}$'`.execute(backend.db);
  if (rows.length === 0) return;
  throw new ServerError("ERR_STATE_DIR_IN_USE", `${storeEndText(end)} is in use`, {
    why: `a server is connected to it: "${rows[0]!.name}"`,
    nextSteps: ["stop every server of this deployment, then try again"],
  });
}

function notEqual(tables: readonly string[]): ServerError {
  return new ServerError("ERR_STORE_DAMAGED", "The copy differs from the source, and was undone", {
    why: `these tables differ: ${tables.join(", ")}`,
    nextSteps: ["report this with the versions of coder and PostgreSQL"],
  });
}

function postgresPlace(end: StoreEnd): StorePlace {
  if ("stateDir" in end) throw new TypeError("that end is a file");
  return { postgres: { source: { url: end.url }, ...CONNECTIONS } };
}

function backendOptions({ log, signal }: MoveOptions): Parameters<typeof openBackend>[1] {
  return { applicationName: "coder migrate-store", log, signal };
}
