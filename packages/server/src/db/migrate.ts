import type { Kysely } from "kysely";
import { ServerError } from "../base/errors.ts";
import { type Migration, migrations as released } from "./migrations/index.ts";
import type { Database } from "./schema.ts";

/**
 * Brings the schema to the newest version, each step in a transaction of its own together with the row that records
 * it. Throws ServerError ERR_STORE_TOO_NEW when a later release wrote this database.
 * @returns versions that were applied now.
 */
export async function migrate(
  db: Kysely<Database>,
  now: number,
  migrations: readonly Migration[] = released,
): Promise<number[]> {
  await db.schema
    .createTable("schema_migrations")
    .ifNotExists()
    .addColumn("version", "bigint", (column) => column.primaryKey())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("applied_at", "bigint", (column) => column.notNull())
    .execute();
  const rows = await db.selectFrom("schema_migrations").select("version").orderBy("version").execute();
  const current = rows.at(-1)?.version ?? 0;
  const newest = migrations.at(-1)?.version ?? 0;
  if (current > newest) {
    throw new ServerError("ERR_STORE_TOO_NEW", "The database was written by a newer release", {
      why: `its schema has version ${current}, this release knows up to ${newest}`,
      nextSteps: ["start the newer release again, or restore a backup from before the update"],
    });
  }
  const applied: number[] = [];
  const recorded = new Set(rows.map((row) => row.version));
  for (const migration of migrations.filter(({ version }) => !recorded.has(version))) {
    await db.transaction().execute(async (transaction) => {
      await migration.up(transaction as unknown as Kysely<unknown>);
      await transaction
        .insertInto("schema_migrations")
        .values({ version: migration.version, name: migration.name, applied_at: now })
        .execute();
    });
    applied.push(migration.version);
  }
  return applied;
}
