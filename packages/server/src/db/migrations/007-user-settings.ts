import type { Kysely } from "kysely";

export async function userSettings(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("user_settings")
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("key", "text", (column) => column.notNull())
    .addColumn("value", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("user_settings_key", ["user_id", "key"])
    .execute();
  await db.schema.createIndex("connection_reports_time").on("connection_reports").column("reported_at").execute();
}
