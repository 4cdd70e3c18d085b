import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { SqliteDatabase, SqliteStatement } from "kysely";
import { storableText } from "../base/text.ts";

/** Prepared statements cached per database. Queries are few and fixed, so this is a safety limit rather than a tuning option. */
const MAX_CACHED_STATEMENTS = 256;

type SqlValue = null | number | bigint | string | Uint8Array;

/** Adapts Node's built-in SQLite to kysely's SQLite dialect. Owns the database and closes it. */
export class NodeSqliteDatabase implements SqliteDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, SqliteStatement>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  prepare(sql: string): SqliteStatement {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = new NodeSqliteStatement(this.#database.prepare(sql), sql);
    if (this.#statements.size >= MAX_CACHED_STATEMENTS) {
      const [oldest] = this.#statements.keys();
      if (oldest !== undefined) this.#statements.delete(oldest);
    }
    this.#statements.set(sql, statement);
    return statement;
  }

  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }
}

class NodeSqliteStatement implements SqliteStatement {
  readonly reader: boolean;
  readonly #statement: StatementSync;

  constructor(statement: StatementSync, sql: string) {
    this.#statement = statement;
    // StatementSync.columns does not exist in our oldest Node; there the text of the statement decides.
    this.reader =
      typeof statement.columns === "function"
        ? statement.columns().length > 0
        : /^\s*(select|with|pragma|explain)\b/i.test(sql) || /\breturning\b/i.test(sql);
  }

  all(parameters: readonly unknown[]): unknown[] {
    return this.#statement.all(...parameters.map(sqlValue));
  }

  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint } {
    return this.#statement.run(...parameters.map(sqlValue));
  }

  iterate(parameters: readonly unknown[]): IterableIterator<unknown> {
    return this.#statement.iterate(...parameters.map(sqlValue));
  }
}

function sqlValue(value: unknown): SqlValue {
  if (typeof value === "string") return storableText(value);
  if (value === null || typeof value === "number" || typeof value === "bigint") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`a query parameter must be a number, text, bytes or null, got ${typeof value}`);
}
