import type { Kysely } from "kysely";
import type { AppSessionRow, Database } from "./schema.ts";

export class AppSessions {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async byHash(idHash: string): Promise<AppSessionRow | undefined> {
    return await this.#db.selectFrom("app_sessions").selectAll().where("id_hash", "=", idHash).executeTakeFirst();
  }

  /**
   * Adds a session. Expired ones are removed, and of the same login the oldest beyond `perKey`, except those younger than
   * `keepMs`: their tickets could otherwise be used again. Call inside a transaction.
   */
  async insert(row: AppSessionRow, perKey: number, keepMs: number): Promise<void> {
    await this.#db.deleteFrom("app_sessions").where("expires_at", "<=", row.created_at).execute();
    const kept = this.#db
      .selectFrom("app_sessions")
      .select("id_hash")
      .where("key_id", "=", row.key_id)
      .orderBy("created_at", "desc")
      .limit(perKey - 1);
    await this.#db
      .deleteFrom("app_sessions")
      .where("key_id", "=", row.key_id)
      .where("created_at", "<=", row.created_at - keepMs)
      .where("id_hash", "not in", kept)
      .execute();
    await this.#db.insertInto("app_sessions").values(row).execute();
  }
}
