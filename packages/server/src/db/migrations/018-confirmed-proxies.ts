import type { Kysely } from "kysely";

/** Whether an owner has confirmed where a workspace proxy is and what it serves. db/schema.ts documents the column. */
export async function confirmedProxies(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable("workspace_proxies")
    .addColumn("is_confirmed", "bigint", (column) => column.notNull().defaultTo(1))
    .execute();
}
