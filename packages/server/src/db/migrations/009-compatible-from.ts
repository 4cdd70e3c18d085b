import type { Kysely } from "kysely";

/** Records which programs a schema is compatible with, so that servers of two releases can run side by side during an update. */
export async function compatibleFrom(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable("schema_migrations")
    .addColumn("compatible_from", "bigint", (column) => column.notNull().defaultTo(9))
    .execute();
}
