import type { Kysely } from "kysely";
import type { OpenConnection } from "./dedicated.ts";
import type { Database } from "./schema.ts";

/** The connections to the database that queries share. */
export interface ConnectionPool {
  /** The most that there are. */
  readonly max: number;
  readonly idle: number;
  readonly used: number;
  /** Queries that wait for a connection. */
  readonly waiting: number;
  /** When a query last waited long for a connection or was refused one, by performance.now(); undefined: never. */
  readonly exhaustedAt: number | undefined;
}

/** Is informed of what the database does for this server. */
export interface DatabaseObserver {
  /** @param kind One of few words. */
  query(kind: string, seconds: number): void;
  /** A transaction runs again. @param code Why, in one of few words. */
  retried(code: string): void;
}

/** The database below the store: a SQLite file, or PostgreSQL. Owns its connections. */
export interface Backend {
  /** Runs each query by itself. */
  readonly db: Kysely<Database>;
  /** Connections beside those of queries; undefined where one process has the database to itself. */
  readonly openConnection?: OpenConnection;
  /** Undefined where there is one connection alone. */
  readonly pool?: ConnectionPool;
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
