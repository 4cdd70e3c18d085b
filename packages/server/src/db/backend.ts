import type { Kysely } from "kysely";
import type { OpenConnection } from "./dedicated.ts";
import type { Database } from "./schema.ts";

/** The pool of database connections that queries share. */
export interface ConnectionPool {
  /** The maximum number of connections. */
  readonly max: number;
  readonly idle: number;
  readonly used: number;
  /** Queries that are waiting for a connection. */
  readonly waiting: number;
  /** When a query last waited long for a connection or was refused one, by performance.now(); undefined if never. */
  readonly exhaustedAt: number | undefined;
}

/** Receives reports on what the database does for this server. */
export interface DatabaseObserver {
  /** @param kind From a small set of words. */
  query(kind: string, seconds: number): void;
  /** A transaction is being repeated. @param code The reason, from a small set of words. */
  retried(code: string): void;
}

/** The database below the store: a SQLite file, or PostgreSQL. Owns its connections. */
export interface Backend {
  /** Runs each query outside a transaction. */
  readonly db: Kysely<Database>;
  /** Opens connections beside those of queries; undefined if one process has the database to itself. */
  readonly openConnection?: OpenConnection;
  /** Undefined if there is only one connection. */
  readonly pool?: ConnectionPool;
  /**
   * Runs `work` in one transaction; a rejection rolls everything back. PostgreSQL runs `work` again if the transaction conflicted
   * with another one, so `work` must have no effects outside the database.
   */
  transaction<T>(work: (db: Kysely<Database>) => Promise<T>): Promise<T>;
  /**
   * Runs `work`, which is one statement on `db`. With PostgreSQL it runs again after the connection was lost, even if it may already
   * have taken effect.
   */
  statement<T>(work: () => Promise<T>): Promise<T>;
  /** Whether no server has used the database yet: it has no tables. */
  isEmpty(): Promise<boolean>;
  /** Brings the schema up to date. Throws ServerError. */
  migrate(now: number): Promise<void>;
  /** Brings the schema up to date and runs `work`, in one transaction where the database can. Throws ServerError. */
  install(now: number, work: (db: Kysely<Database>) => Promise<void>): Promise<void>;
  /** Runs `work`, which may only read, on the state of one moment. */
  snapshot<T>(work: (db: Kysely<Database>) => Promise<T>): Promise<T>;
  /** "ok", or a description of the damage. */
  integrity(): Promise<string>;
  /** Safe to call twice. */
  close(): Promise<void>;
}
