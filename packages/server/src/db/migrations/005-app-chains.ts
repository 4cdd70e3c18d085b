import type { Kysely } from "kysely";

/** An owner's settings for a program, other than who may use it. */
export async function appChoices(db: Kysely<unknown>): Promise<void> {
  for (const table of ["port_shares", "apps"]) {
    await db.schema
      .alterTable(table)
      .addColumn("cors", "text", (column) => column.notNull().defaultTo("simple"))
      .execute();
    // Separated by spaces.
    await db.schema
      .alterTable(table)
      .addColumn("cors_origins", "text", (column) => column.notNull().defaultTo(""))
      .execute();
    await db.schema
      .alterTable(table)
      .addColumn("also", "text", (column) => column.notNull().defaultTo(""))
      .execute();
    await db.schema
      .alterTable(table)
      .addColumn("identity_headers", "bigint", (column) => column.notNull().defaultTo(0))
      .execute();
  }
}
