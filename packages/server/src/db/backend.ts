import type { Kysely } from "kysely";
import type { OpenConnection } from "./dedicated.ts";
import type { Database } from "./schema.ts";

/** The database below the store: a SQLite file, or PostgreSQL. Owns its connections. */
export interface Backend {
  /** Runs each query by itself. */
  readonly db: Kysely<Database>;
  /** Connections beside those of queries; undefined where one process has the database to itself. */
  readonly openConnection?: OpenConnection;
  /**
   * Runs `work` in one transaction; a rejection undoes everything. PostgreSQL runs `work` again when the transaction lost
   * against another one, so it has no effects outside the database.
   */
  transaction<T>(work: (db: Kysely<Database>) => Promise<T>): Promise<T>;
  /** Whether no server has used it yet: it has no tables. */
  isEmpty(): Promise<boolean>;
  /** Brings the schema up to date. Throws ServerError. */
  migrate(now: number): Promise<void>;
  /** Brings the schema up to date and runs `work`, in one transaction where the database can. Throws ServerError. */
  install(now: number, work: (db: Kysely<Database>) => Promise<void>): Promise<void>;
  /** Runs `work` on the state of one moment, which it only reads. */
  snapshot<T>(work: (db: Kysely<Database>) => Promise<T>): Promise<T>;
  /** "ok", or what is damaged. */
  integrity(): Promise<string>;
  /** Safe to call twice. */
  close(): Promise<void>;
}
