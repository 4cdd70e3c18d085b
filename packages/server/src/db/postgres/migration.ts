import { Kysely, PostgresDialect, type PostgresPoolClient, sql } from "kysely";
import type pg from "pg";
import type { Logger } from "../../base/log.ts";
import { migrate } from "../migrate.ts";
import type { Migration } from "../migrations/index.ts";
import type { Database } from "../schema.ts";
import type { Connections } from "./connections.ts";
import { failureKind, failureText } from "./failures.ts";
import { pause } from "./wait.ts";

/** Class of this program's advisory locks, and the number of the migration's lock. */
const LOCK_CLASS = 7_236_121;
const MIGRATION_LOCK = 1;

/** Pause between two attempts while another server migrates. */
const PAUSE_MS = 250;
const LOG_EVERY_MS = 10_000;
/** For a statement that waits for the queries of running servers. */
const DDL_LOCK_TIMEOUT = "5s";
const MAX_ATTEMPTS = 10;

interface MigrationOptions {
  readonly log: Pick<Logger, "info" | "warn">;
  readonly signal?: AbortSignal | undefined;
  readonly onWaiting?: (what: "migrating") => void;
  readonly migrations?: readonly Migration[];
  /** Work to do on the newest schema in the same transaction. */
  readonly finish?: (db: Kysely<Database>) => Promise<void>;
}

/**
 * One server migrates while the others wait. Everything is one transaction that holds the lock: it ends with the connection, and
 * behind a pooler that assigns connections by transaction, a session lock would not exclude the others.
 * @returns the versions that were applied.
 */
export async function migratePostgres(
  connections: Connections,
  now: number,
  options: MigrationOptions,
): Promise<number[]> {
  for (let attempt = 1; ; attempt++) {
    const client = await connections.dedicated();
    const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool: poolOf(client) }) });
    try {
      const applied = await attemptMigration(db, now, options);
      if (applied !== "held") return applied;
      attempt = 0;
    } catch (error) {
      const kind = failureKind(error);
      if (attempt >= MAX_ATTEMPTS || (kind !== "busy" && kind !== "conflict")) throw error;
      options.log.warn({ reason: failureText(error) }, "the migration waits for tables that are in use");
    } finally {
      await client.end();
    }
    await waitForTurn(connections, options);
  }
}

async function attemptMigration(
  db: Kysely<Database>,
  now: number,
  { migrations, finish }: MigrationOptions,
): Promise<number[] | "held"> {
  return await db.transaction().execute(async (transaction) => {
    if (!(await tryLock(transaction))) return "held";
    await sql`set local statement_timeout = 0`.execute(transaction);
    await sql`set local lock_timeout = ${sql.lit(DDL_LOCK_TIMEOUT)}`.execute(transaction);
    const applied = await migrate(transaction, now, (step) => step(transaction), migrations);
    await finish?.(transaction);
    return applied;
  });
}

/** Resolves when the lock is free, or was free for a moment. */
async function waitForTurn(connections: Connections, options: MigrationOptions): Promise<void> {
  let logged = Number.NEGATIVE_INFINITY;
  for (;;) {
    const client = await connections.acquire();
    try {
      const { rows } = await client.query<{ name: string }>(HOLDERS, [LOCK_CLASS, MIGRATION_LOCK]);
      if (rows.length === 0) return;
      options.onWaiting?.("migrating");
      if (performance.now() - logged >= LOG_EVERY_MS) {
        logged = performance.now();
        options.log.info({ holder: rows[0]!.name }, "waiting for the server that updates the database");
      }
    } finally {
      client.release();
    }
    await pause(PAUSE_MS, options.signal);
  }
}

const HOLDERS = `select coalesce(activity.application_name, '') as name
  from pg_locks as held left join pg_stat_activity as activity on activity.pid = held.pid
  where held.locktype = 'advisory' and held.granted and held.classid = $1 and held.objid = $2
    and held.database = (select oid from pg_database where datname = current_database())`;

async function tryLock(db: Kysely<Database>): Promise<boolean> {
  const { rows } = await sql<{ locked: boolean }>`
    select pg_try_advisory_xact_lock(${LOCK_CLASS}::int, ${MIGRATION_LOCK}::int) as locked`.execute(db);
  return rows[0]!.locked;
}

/** Presents one connection as a pool; its owner ends it. */
function poolOf(client: pg.Client): {
  connect(): Promise<PostgresPoolClient>;
  end(): Promise<void>;
  options: object;
} {
  const lent = {
    query: (text: string, parameters: readonly unknown[]) => client.query(text, [...parameters]),
    release: () => undefined,
  };
  return { options: {}, connect: async () => lent as unknown as PostgresPoolClient, end: async () => undefined };
}
