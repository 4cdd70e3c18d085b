import type { Kysely } from "kysely";

/** Whether an owner knows where a workspace proxy is and what it serves. db/schema.ts has what the column means. */
export async function confirmedProxies(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable("workspace_proxies")
    .addColumn("is_confirmed", "bigint", (column) => column.notNull().defaultTo(1))
    .execute();
}
