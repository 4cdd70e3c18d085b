import type { Kysely } from "kysely";
import { byCodePoint } from "./dialect.ts";
import type { Database } from "./schema.ts";

/** Names of settings that hold an event each. */
const PREFIX = "pending_audit/";
/** The first name behind them. */
const AFTER = "pending_audit0";

/** One event that a command recorded in the store for the server's log. */
export interface PendingAuditRow {
  readonly key: string;
  /** JSON. */
  readonly value: string;
}

/** Name of the setting for an event: they are read in the order in which they were recorded. */
export function pendingAuditKey(atMs: number, random: string): string {
  return `${PREFIX}${String(atMs).padStart(15, "0")}/${random}`;
}

/** Audit events of commands that run beside the server. They are among the settings, which databases of every release have. */
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
