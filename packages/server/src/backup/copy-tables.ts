import { createHash } from "node:crypto";
import { type Kysely, PostgresAdapter, sql } from "kysely";
import { withoutNul } from "../base/text.ts";
import type { Database } from "../db/schema.ts";
import { STORE_TABLES } from "./store-tables.ts";

type Row = Readonly<Record<string, unknown>>;

export interface TableCopy {
  readonly table: string;
  readonly rows: number;
  /** SHA-256 of the rows' hashes in ascending order, so it does not depend on the order in which a database returns rows. */
  readonly sha256: string;
}

/** Rows that are read at one time. */
const PAGE = 2_000;
/** Parameters of one insert, below the limits of SQLite (32,766) and PostgreSQL (65,535). */
const MAX_PARAMETERS = 30_000;

/**
 * Replaces the rows of every table of the target by those of the source, then reads them back. Call inside a transaction of each.
 * @returns one entry for each table; undefined for one that differs between the two.
 */
export async function copyTables(
  from: Kysely<Database>,
  to: Kysely<Database>,
  signal: AbortSignal,
): Promise<{ readonly copies: readonly TableCopy[]; readonly different: readonly string[] }> {
  for (const table of [...STORE_TABLES].reverse()) await to.deleteFrom(table).execute();
  const copies: TableCopy[] = [];
  for (const table of STORE_TABLES) {
    const digest = new TableDigest(table);
    for await (const rows of pagesOf(from, table)) {
      signal.throwIfAborted();
      const storable = rows.map(storableRow);
      for (const row of storable) digest.add(row);
      await insertRows(to, table, storable);
    }
    copies.push(digest.end());
  }
  const different: string[] = [];
  for (const copy of copies) {
    const digest = new TableDigest(copy.table);
    for await (const rows of pagesOf(to, copy.table)) for (const row of rows) digest.add(row);
    if (digest.end().sha256 !== copy.sha256) different.push(copy.table);
  }
  return { copies, different };
}

class TableDigest {
  readonly #table: string;
  readonly #hashes: Buffer[] = [];

  constructor(table: string) {
    this.#table = table;
  }

  add(row: Row): void {
    const values = Object.keys(row)
      .sort()
      .map((column) => [column, canonical(row[column])]);
    this.#hashes.push(createHash("sha256").update(JSON.stringify(values)).digest());
  }

  end(): TableCopy {
    const all = createHash("sha256");
    for (const hash of this.#hashes.sort(Buffer.compare)) all.update(hash);
    return { table: this.#table, rows: this.#hashes.length, sha256: all.digest("hex") };
  }
}

function canonical(value: unknown): unknown {
  return value instanceof Uint8Array ? { bytes: Buffer.from(value).toString("hex") } : value;
}

function storableRow(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => [column, typeof value === "string" ? withoutNul(value) : value]),
  );
}

async function insertRows(to: Kysely<Database>, table: string, rows: readonly Row[]): Promise<void> {
  const size = Math.max(1, Math.floor(MAX_PARAMETERS / Math.max(1, Object.keys(rows[0] ?? {}).length)));
  for (let at = 0; at < rows.length; at += size) {
    // The rows come from a table of the same schema.
    await (to as unknown as Kysely<Record<string, Row>>)
      .insertInto(table)
      .values(rows.slice(at, at + size))
      .execute();
  }
}

function pagesOf(db: Kysely<Database>, table: string): AsyncGenerator<readonly Row[]> {
  return db.getExecutor().adapter instanceof PostgresAdapter ? postgresPages(db, table) : sqlitePages(db, table);
}

/** Reads through a cursor, which sees the table at one moment. */
async function* postgresPages(db: Kysely<Database>, table: string): AsyncGenerator<readonly Row[]> {
  await sql`declare page_reader no scroll cursor for select * from ${sql.table(table)}`.execute(db);
  for (;;) {
    const { rows } = await sql<Row>`fetch ${sql.lit(PAGE)} from page_reader`.execute(db);
    if (rows.length > 0) yield rows;
    if (rows.length < PAGE) break;
  }
  await sql`close page_reader`.execute(db);
}

/** Reads in the order of SQLite's row ids. */
async function* sqlitePages(db: Kysely<Database>, table: string): AsyncGenerator<readonly Row[]> {
  for (let last = -1; ; ) {
    const { rows } = await sql<Row & { row_number: number }>`
      select rowid as row_number, * from ${sql.table(table)} where rowid > ${last} order by rowid limit ${PAGE}`.execute(
      db,
    );
    if (rows.length > 0) yield rows.map(({ row_number: _number, ...row }) => row);
    if (rows.length < PAGE) return;
    last = rows.at(-1)!.row_number;
  }
}
