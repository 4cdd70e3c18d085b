import type { Kysely } from "kysely";
import { DATABASE_NOW_MS, isPostgres } from "./dialect.ts";
import type { Database } from "./schema.ts";

export interface AccessOutboxRow {
  readonly id: string;
  /** JSON. */
  readonly body: string;
}

/**
 * Events that take rights away and that other servers have to act on. With SQLite there is no other server, so nothing is
 * written.
 */
export class AccessOutbox {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Call inside the transaction that takes the rights away. */
  async add(rows: readonly AccessOutboxRow[]): Promise<void> {
    if (rows.length === 0 || !isPostgres(this.#db)) return;
    await this.#db
      .insertInto("access_outbox")
      .values(rows.map(({ id, body }) => ({ id, body, created_at: DATABASE_NOW_MS })))
      .execute();
  }
}
