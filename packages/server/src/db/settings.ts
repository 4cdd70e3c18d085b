import type { Kysely } from "kysely";
import { lockOnly } from "./dialect.ts";
import type { Database } from "./schema.ts";

/** Facts about the deployment, most of them decided once. Secrets are kept elsewhere: see key-file.ts. */
export type SettingKey =
  | "deployment_id"
  | "organization_id"
  | "template_id"
  | "template_version_id"
  | "created_at"
  | "key_fingerprint"
  | "dismissed_healthchecks"
  | "primary_display_name"
  | "primary_icon"
  /** Which workspaces are left to browsers, as owners set it. */
  | "browser_only";

export class Settings {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async read(key: SettingKey): Promise<string | undefined> {
    const row = await this.#db.selectFrom("settings").select("value").where("key", "=", key).executeTakeFirst();
    return row?.value;
  }

  /** Admits one transaction at a time, for changes that concern the whole deployment. */
  async lockDeployment(): Promise<void> {
    await lockOnly(this.#db, this.#db.selectFrom("settings").select("key").where("key", "=", "deployment_id"));
  }

  async replace(key: SettingKey, value: string): Promise<void> {
    await this.#db
      .insertInto("settings")
      .values({ key, value })
      .onConflict((conflict) => conflict.column("key").doUpdateSet({ value }))
      .execute();
  }

  /** Stores `value` if there is none yet. Returns the stored value. */
  async establish(key: SettingKey, value: string): Promise<string> {
    await this.#db
      .insertInto("settings")
      .values({ key, value })
      .onConflict((conflict) => conflict.column("key").doNothing())
      .execute();
    return (await this.read(key)) ?? value;
  }
}
