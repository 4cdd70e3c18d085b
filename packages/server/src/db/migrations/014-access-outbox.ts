import type { Kysely } from "kysely";

/** Rights that were taken away and of which other servers may not know yet. Empty if there is only one server. */
export async function accessOutbox(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("access_outbox")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("body", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
}
