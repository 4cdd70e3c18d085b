import { Kysely, PostgresDialect, sql } from "kysely";
import type { Logger } from "../../base/log.ts";
import type { Backend, ConnectionPool, DatabaseObserver } from "../backend.ts";
import type { OpenConnection } from "../dedicated.ts";
import type { Database } from "../schema.ts";
import { Connections } from "./connections.ts";
import { DatabaseAway, failureKind } from "./failures.ts";
import { migratePostgres } from "./migration.ts";
import { waitForDatabase } from "./start.ts";
import { isOfPreparedStatement } from "./statement-names.ts";
import { type PostgresSource, Target } from "./target.ts";
import { pause } from "./wait.ts";

export interface PostgresOptions {
  readonly source: PostgresSource;
  readonly maxOpen: number;
  readonly maxIdle: number;
  readonly applicationName: string;
  readonly log: Pick<Logger, "warn" | "info" | "debug">;
  readonly onQuery?: ((sql: string) => void) | undefined;
  readonly observer?: DatabaseObserver | undefined;
  /** Aborts waiting for the database at the start, or for another server's migration. */
  readonly signal?: AbortSignal | undefined;
  /** Called while waiting for the database at the start, or for another server's migration. */
  readonly onWaiting?: (what: "waiting for the database" | "migrating") => void;
}

const MAX_ATTEMPTS = 5;
const RETRY_MS = 2_000;
const FIRST_PAUSE_MS = 10;

/**
 * A PostgreSQL database, which several servers may use. Transactions are READ COMMITTED; what is read in order to be written is
 * locked (dialect.ts). A transaction is repeated after a deadlock, and after its connection was lost before the commit was sent.
 */
export class PostgresBackend implements Backend {
  readonly db: Kysely<Database>;
  readonly openConnection: OpenConnection;
  readonly pool: ConnectionPool;
  readonly #options: PostgresOptions;
  readonly #connections: Connections;

  /** Waits until the database answers. Throws ServerError. */
  static async open(options: PostgresOptions): Promise<PostgresBackend> {
    const target = new Target(options.source);
    const warning = target.warning();
    if (warning !== undefined) options.log.warn({ database: target.masked }, warning);
    const connections = new Connections({ ...options, target });
    try {
      await waitForDatabase(connections, target, options);
    } catch (error) {
      await connections.end();
      throw error;
    }
    return new PostgresBackend(connections, options);
  }

  private constructor(connections: Connections, options: PostgresOptions) {
    const { onQuery, observer } = options;
    this.#options = options;
    this.#connections = connections;
    this.pool = connections;
    this.openConnection = (queryMs) => connections.dedicated(queryMs);
    this.db = new Kysely<Database>({
      dialect: new PostgresDialect({ pool: connections }),
      log: ({ query, queryDurationMillis }) => {
        onQuery?.(query.sql);
        observer?.query(kindOf(query.query.kind), queryDurationMillis / 1_000);
      },
    });
  }

  transaction<T>(work: (db: Kysely<Database>) => Promise<T>): Promise<T> {
    return this.#again(() => this.db.transaction().setIsolationLevel("read committed").execute(work), mayRunAgain);
  }

  statement<T>(work: () => Promise<T>): Promise<T> {
    return this.#again(work, (error) => mayRunAgain(error) || error instanceof DatabaseAway);
  }

  async #again<T>(run: () => Promise<T>, mayRun: (error: unknown) => boolean): Promise<T> {
    const deadline = performance.now() + RETRY_MS;
    for (let attempt = 1; ; attempt++) {
      try {
        return await run();
      } catch (error) {
        if (!mayRun(error) || attempt >= MAX_ATTEMPTS || performance.now() > deadline) throw error;
        this.#options.observer?.retried(retryCode(error));
        await pause(FIRST_PAUSE_MS * 2 ** attempt);
      }
    }
  }

  async isEmpty(): Promise<boolean> {
    const { rows } = await sql<{ empty: boolean }>`select to_regclass('settings') is null as empty`.execute(this.db);
    return rows[0]!.empty;
  }

  async migrate(now: number): Promise<void> {
    await migratePostgres(this.#connections, now, this.#options);
  }

  async install(now: number, work: (db: Kysely<Database>) => Promise<void>): Promise<void> {
    await migratePostgres(this.#connections, now, { ...this.#options, finish: work });
  }

  snapshot<T>(work: (db: Kysely<Database>) => Promise<T>): Promise<T> {
    return this.db.transaction().setIsolationLevel("repeatable read").setAccessMode("read only").execute(work);
  }

  async integrity(): Promise<string> {
    await this.db.selectFrom("schema_migrations").select("version").execute();
    return "ok";
  }

  async close(): Promise<void> {
    await this.db.destroy();
    // Before the first query, kysely has not taken over the connections and does not end them.
    await this.#connections.end();
  }
}

/** The kind of a statement, derived from the name of kysely's node, such as SelectQueryNode. */
function kindOf(node: string): string {
  const [word] = /^(Select|Insert|Update|Delete)(?=QueryNode$)/.exec(node) ?? ["other"];
  return word.toLowerCase();
}

function retryCode(error: unknown): string {
  if (error instanceof DatabaseAway) return "connection";
  return error instanceof Error && "code" in error && error.code === "40P01" ? "deadlock" : "conflict";
}

function mayRunAgain(error: unknown): boolean {
  if (error instanceof DatabaseAway) return !error.outcomeUnknown;
  return failureKind(error) === "conflict" || isOfPreparedStatement(error);
}
