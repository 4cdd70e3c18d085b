import { DatabaseSync } from "node:sqlite";
import { Kysely, SqliteDialect } from "kysely";
import { isDiskFull, ServerError } from "../base/errors.ts";
import { narrowOwn } from "../base/private-mode.ts";
import type { Backend } from "./backend.ts";
import { migrate } from "./migrate.ts";
import { NodeSqliteDatabase } from "./node-sqlite.ts";
import type { Database } from "./schema.ts";

/**
 * A SQLite file (0600). A write whose promise has resolved survives kill -9 and power loss: WAL with synchronous=FULL flushes
 * every commit. There is one connection, so queries run one after the other, and transactions exclude each other.
 */
export class SqliteBackend implements Backend {
  readonly db: Kysely<Database>;
  readonly #sqlite: DatabaseSync;

  /** Opens or creates the file. Throws ServerError. */
  constructor(path: string, onQuery?: (sql: string) => void) {
    this.#sqlite = openFile(path);
    this.db = new Kysely<Database>({
      dialect: new SqliteDialect({ database: new NodeSqliteDatabase(this.#sqlite) }),
      log: onQuery === undefined ? [] : (event) => onQuery(event.query.sql),
    });
  }

  transaction<T>(work: (db: Kysely<Database>) => Promise<T>): Promise<T> {
    return this.db.transaction().execute(work);
  }

  statement<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  async isEmpty(): Promise<boolean> {
    return this.#sqlite.prepare("SELECT 1 FROM sqlite_master WHERE name = 'settings'").get() === undefined;
  }

  async migrate(now: number): Promise<void> {
    await migrate(this.db, now, (step) => this.transaction(step));
  }

  async install(now: number, work: (db: Kysely<Database>) => Promise<void>): Promise<void> {
    await this.migrate(now);
    await this.transaction(work);
  }

  snapshot<T>(work: (db: Kysely<Database>) => Promise<T>): Promise<T> {
    return this.transaction(work);
  }

  /** Reads the whole file. */
  async integrity(): Promise<string> {
    const rows = this.#sqlite.prepare("PRAGMA integrity_check").all();
    return rows.map((row) => String(row["integrity_check"])).join("; ");
  }

  async close(): Promise<void> {
    await this.db.destroy();
    // Before the first query, kysely has not taken over the database and does not close it.
    if (this.#sqlite.isOpen) this.#sqlite.close();
  }
}

function openFile(path: string): DatabaseSync {
  let sqlite: DatabaseSync;
  try {
    sqlite = new DatabaseSync(path, { timeout: 5000, enableForeignKeyConstraints: true });
  } catch (cause) {
    throw damaged(path, "it cannot be opened", cause);
  }
  try {
    narrowOwn(path, 0o600);
    sqlite.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000",
    );
  } catch (cause) {
    sqlite.close();
    throw damaged(path, "it is not a database", cause);
  }
  return sqlite;
}

function damaged(path: string, why: string, cause: unknown): ServerError {
  if (isDiskFull(cause)) {
    return new ServerError("ERR_STATE_DIR", `Cannot use the database "${path}"`, {
      why: "the disk is full",
      nextSteps: ["make room on that disk, then start again"],
      cause,
    });
  }
  return new ServerError("ERR_STORE_DAMAGED", `Cannot use the database "${path}"`, {
    why,
    nextSteps: ["restore coder.db from a backup"],
    cause,
  });
}
