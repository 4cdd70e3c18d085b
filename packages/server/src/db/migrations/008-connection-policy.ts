import type { Kysely } from "kysely";

export async function connectionPolicies(db: Kysely<unknown>): Promise<void> {
  for (const table of ["users", "workspaces"]) {
    await db.schema
      .alterTable(table)
      .addColumn("connection_policy", "text", (column) => column.notNull().defaultTo("inherit"))
      .execute();
  }
  await db.schema
    .alterTable("workspaces")
    .addColumn("require_e2e", "bigint", (column) => column.notNull().defaultTo(0))
    .execute();
}
