import type { Kysely } from "kysely";

/**
 * Records which of its connections an agent's state belongs to: servers that share a database learn late of the end of an older
 * one.
 */
export async function agentConnection(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable("agents")
    .addColumn("connection_id", "text", (column) => column.notNull().defaultTo(""))
    .execute();
}
