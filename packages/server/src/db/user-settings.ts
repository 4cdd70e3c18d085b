import type { Kysely } from "kysely";
import type { Database } from "./schema.ts";

/** Settings that a person chose. The value is JSON. */
export type UserSettingKey = "appearance";

export class UserSettings {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async read(userId: string, key: UserSettingKey): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom("user_settings")
      .select("value")
      .where("user_id", "=", userId)
      .where("key", "=", key)
      .executeTakeFirst();
    return row?.value;
  }

  async replace(userId: string, key: UserSettingKey, value: string): Promise<void> {
    await this.#db
      .insertInto("user_settings")
      .values({ user_id: userId, key, value })
      .onConflict((conflict) => conflict.columns(["user_id", "key"]).doUpdateSet({ value }))
      .execute();
  }
}
