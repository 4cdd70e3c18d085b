import type { Kysely } from "kysely";

/** Which of its connections an agent's state is of: servers that share a database see the end of an older one late. */
export async function agentConnection(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable("agents")
    .addColumn("connection_id", "text", (column) => column.notNull().defaultTo(""))
    .execute();
}
