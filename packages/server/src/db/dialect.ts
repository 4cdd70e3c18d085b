/** The few places where a query or a column differs between SQLite and PostgreSQL. */
import { type Kysely, PostgresAdapter, type RawBuilder, type ReferenceExpression, sql } from "kysely";
import type { Database } from "./schema.ts";

/** A Kysely instance or transaction of any schema. */
// biome-ignore lint/suspicious/noExplicitAny: kysely's own type for "of any schema"
type AnyKysely = Kysely<any>;

/** The time of a PostgreSQL database, in ms since 1970. */
export const DATABASE_NOW_MS = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;

/** Whether it leads to PostgreSQL. */
export function isPostgres(db: AnyKysely): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter;
}

/**
 * For `where(column, "in", …)`: one of these texts. One parameter however many there are, so the statement keeps its text
 * (SQLite's prepared statements are kept by it) and has no limit on their number.
 */
export function inList(db: AnyKysely, texts: readonly string[]): RawBuilder<string> {
  return isPostgres(db)
    ? sql<string>`(select unnest(${texts}::text[]))`
    : sql<string>`(select value from json_each(${JSON.stringify(texts)}))`;
}

/**
 * Locks the rows that a query selects until the transaction ends: for "read, decide, write". SQLite has one writer at a time,
 * and nothing to lock. Order: user, workspace, agent, then others; of one table by ascending id.
 */
export function lockRow<Query extends { forUpdate(): Query }>(db: AnyKysely, query: Query): Query {
  return isPostgres(db) ? query.forUpdate() : query;
}

/** As lockRow, for rows of which nothing is read: with SQLite it does nothing at all. */
export async function lockOnly<Query extends { forUpdate(): Query; execute(): Promise<unknown> }>(
  db: AnyKysely,
  query: Query,
): Promise<void> {
  if (isPostgres(db)) await query.forUpdate().execute();
}

/** A text column for `orderBy` and ranges: by code point in both databases, whatever the database's own collation is. */
export function byCodePoint(
  db: AnyKysely,
  column: ReferenceExpression<Database, keyof Database> & string,
): RawBuilder<string> {
  return isPostgres(db) ? sql<string>`${sql.ref(column)} collate "C"` : sql<string>`${sql.ref(column)}`;
}

/** The column type for bytes, in migrations. */
export function bytesType(db: AnyKysely): "bytea" | "blob" {
  return isPostgres(db) ? "bytea" : "blob";
}

const UNIQUE_VIOLATION = "23505";
/** SQLITE_CONSTRAINT_PRIMARYKEY and SQLITE_CONSTRAINT_UNIQUE. */
const SQLITE_UNIQUE: readonly unknown[] = [1555, 2067];

/** Whether a write failed because a row with that key exists. The transaction it was part of is over. */
export function isUniqueViolation(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  return (
    ("code" in error && error.code === UNIQUE_VIOLATION) ||
    ("errcode" in error && SQLITE_UNIQUE.includes(error.errcode))
  );
}
