import type { Kysely } from "kysely";
import { byCodePoint } from "./dialect.ts";
import type { Database } from "./schema.ts";

/** Prefix of the names of settings that hold one event each. */
const PREFIX = "pending_audit/";
/** The first name after all names with the prefix. */
const AFTER = "pending_audit0";

/** An event that a command recorded in the store for the server's log. */
export interface PendingAuditRow {
  readonly key: string;
  /** JSON. */
  readonly value: string;
}

/** The name of the setting for an event. Names sort in the order in which the events were recorded. */
export function pendingAuditKey(atMs: number, random: string): string {
  return `${PREFIX}${String(atMs).padStart(15, "0")}/${random}`;
}

/**
 * Audit events of commands that run beside the server. They are stored as settings, a table that databases of every release have.
 */
export class PendingAudit {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async add(key: string, value: string): Promise<void> {
    await this.#db.insertInto("settings").values({ key, value }).execute();
  }

  /** Oldest first. */
  async list(limit: number): Promise<PendingAuditRow[]> {
    return await this.#db
      .selectFrom("settings")
      .select(["key", "value"])
      .where(byCodePoint(this.#db, "key"), ">=", PREFIX)
      .where(byCodePoint(this.#db, "key"), "<", AFTER)
      .orderBy(byCodePoint(this.#db, "key"))
      .limit(limit)
      .execute();
  }

  async remove(key: string): Promise<void> {
    await this.#db.deleteFrom("settings").where("key", "=", key).execute();
  }
}
