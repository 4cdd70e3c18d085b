import type { Kysely } from "kysely";

/** Which programs a schema still fits, so that servers of two releases can run beside each other during an update. */
export async function compatibleFrom(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable("schema_migrations")
    .addColumn("compatible_from", "bigint", (column) => column.notNull().defaultTo(9))
    .execute();
}
