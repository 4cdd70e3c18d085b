/** The few places where a query or a column differs between SQLite and PostgreSQL. */
import {
  type Kysely,
  PostgresAdapter,
  type QueryCreator,
  type RawBuilder,
  type ReferenceExpression,
  type SqlBool,
  sql,
} from "kysely";
import { storableText } from "../base/text.ts";
import type { Database } from "./schema.ts";

/** A Kysely instance or transaction with any schema. */
// biome-ignore lint/suspicious/noExplicitAny: kysely's own type for "of any schema"
type AnyKysely = Kysely<any>;

/** The time of a PostgreSQL database, in ms since 1970. */
export const DATABASE_NOW_MS = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;

/** Whether the instance is connected to PostgreSQL. */
export function isPostgres(db: AnyKysely): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter;
}

/**
 * For `where(column, "in", …)`: one of these texts. The list is a single parameter, so the statement's text does not depend on
 * its length (SQLite's prepared statements are cached by text) and there is no limit on its length.
 */
export function inList(db: AnyKysely, texts: readonly string[]): RawBuilder<string> {
  return isPostgres(db)
    ? sql<string>`(select unnest(${texts}::text[]))`
    : sql<string>`(select value from json_each(${jsonOf(texts)}))`;
}

/**
 * Whether the column has one of these texts. Unlike `in` with inList, PostgreSQL looks up each text in the column's index, however
 * small the table was when it planned the statement.
 */
export function isOneOf(db: AnyKysely, column: string, texts: readonly string[]): RawBuilder<SqlBool> {
  return isPostgres(db)
    ? sql<SqlBool>`${sql.ref(column)} = any(${texts}::text[])`
    : sql<SqlBool>`${sql.ref(column)} in ${inList(db, texts)}`;
}

/**
 * Locks the rows that a query selects until the transaction ends, for "read, decide, write". SQLite has one writer at a time, so
 * there is nothing to lock. Lock order: user, workspace, agent, then others; within a table by ascending id.
 */
export function lockRow<Query extends { forUpdate(): Query }>(db: AnyKysely, query: Query): Query {
  return isPostgres(db) ? query.forUpdate() : query;
}

/** Like lockRow, for rows that are not read; with SQLite it does nothing at all. */
export async function lockOnly<Query extends { forUpdate(): Query; execute(): Promise<unknown> }>(
  db: AnyKysely,
  query: Query,
): Promise<void> {
  if (isPostgres(db)) await query.forUpdate().execute();
}

/** The rows with these ids in the order in which they have to be locked. */
export function inOrderOf(db: Kysely<Database>, table: "agents" | "workspaces", ids: readonly string[]) {
  return db
    .selectFrom(table)
    .select("id")
    .where(isOneOf(db, "id", ids))
    .orderBy("id");
}

/**
 * For a statement that updates several rows which another server may update at the same time: with PostgreSQL it locks them in
 * order first. Update with `query` where `isLocked`.
 */
export function lockedInOrder(
  db: Kysely<Database>,
  table: "agents" | "workspaces",
  ids: readonly string[],
): { readonly query: QueryCreator<Database>; readonly isLocked: RawBuilder<SqlBool> } {
  if (!isPostgres(db)) return { query: db, isLocked: sql<SqlBool>`true` };
  const query = db.with("locked", () => inOrderOf(db, table, ids).forUpdate()) as unknown as QueryCreator<Database>;
  return { query, isLocked: sql<SqlBool>`${sql.ref(`${table}.id`)} in (select id from locked)` };
}

type GivenType = "text" | "bigint";

/** Rows that are not stored, as a table of a statement. Whatever their number, the statement has the same text. */
export function givenRows<Row extends object>(
  db: AnyKysely,
  rows: readonly Row[],
  types: { readonly [column in keyof Row]: GivenType },
): RawBuilder<Row> {
  const columns = Object.keys(types) as (keyof Row & string)[];
  if (isPostgres(db)) {
    const lists = columns.map((column) => {
      const values = rows.map((row) => row[column]);
      return types[column] === "text" ? sql`${values}::text[]` : sql`${values}::bigint[]`;
    });
    const names = columns.map((column) => sql.ref(column));
    return sql<Row>`(select * from unnest(${sql.join(lists)}) as given_row (${sql.join(names)}))`;
  }
  const parts = columns.map((column, at) => sql`value ->> ${sql.lit(at)} as ${sql.ref(column)}`);
  const json = jsonOf(rows.map((row) => columns.map((column) => row[column])));
  return sql<Row>`(select ${sql.join(parts)} from json_each(${json}))`;
}

/** Values for json_each. As parameters, texts are cleaned on their way to the database; in JSON they are escaped before that. */
function jsonOf(values: readonly unknown[]): string {
  return JSON.stringify(values, (_, value: unknown) => (typeof value === "string" ? storableText(value) : value));
}

/**
 * A text column for `orderBy` and ranges, compared by code point in both databases, regardless of the database's own collation.
 */
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

/** Whether a write failed because a row with that key exists. The transaction that contained it has failed. */
export function isUniqueViolation(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  return (
    ("code" in error && error.code === UNIQUE_VIOLATION) ||
    ("errcode" in error && SQLITE_UNIQUE.includes(error.errcode))
  );
}
