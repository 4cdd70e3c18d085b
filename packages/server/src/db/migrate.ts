import type { Kysely } from "kysely";
import { ServerError } from "../base/errors.ts";
import { type Migration, migrations as released } from "./migrations/index.ts";
import type { Database } from "./schema.ts";

/** Runs one step: with SQLite in its own transaction, with PostgreSQL in the one that holds the migration's lock. */
export type RunStep = (step: (db: Kysely<Database>) => Promise<void>) => Promise<void>;

/** The first version whose row records which programs its schema is compatible with. */
const COMPATIBILITY_SINCE = 9;

/**
 * Brings the schema to the newest version, each step together with the row that records it. A schema newer than this release is
 * left as it is if it says that it is compatible with this release; otherwise throws ServerError ERR_STORE_TOO_NEW.
 * @returns the versions that were applied.
 */
export async function migrate(
  db: Kysely<Database>,
  now: number,
  runStep: RunStep,
  migrations: readonly Migration[] = released,
): Promise<number[]> {
  await db.schema
    .createTable("schema_migrations")
    .ifNotExists()
    .addColumn("version", "bigint", (column) => column.primaryKey())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("applied_at", "bigint", (column) => column.notNull())
    .execute();
  const rows = await db.selectFrom("schema_migrations").selectAll().orderBy("version").execute();
  refuseTooNew(rows.at(-1), migrations.at(-1)?.version ?? 0);
  const recorded = new Set(rows.map(({ version }) => version));
  const applied: number[] = [];
  for (const migration of migrations) {
    if (recorded.has(migration.version)) continue;
    await runStep(async (step) => {
      await migration.up(step as unknown as Kysely<unknown>);
      await step
        .insertInto("schema_migrations")
        .values({ version: migration.version, name: migration.name, applied_at: now, ...compatibility(migration) })
        .execute();
    });
    applied.push(migration.version);
  }
  return applied;
}

function compatibility({ version, compatibleFrom = version }: Migration): { compatible_from?: number } {
  // The column was added with that version.
  return version < COMPATIBILITY_SINCE ? {} : { compatible_from: compatibleFrom };
}

function refuseTooNew(current: { version: number; compatible_from?: number } | undefined, newest: number): void {
  if (current === undefined || current.version <= newest) return;
  const oldest = current.compatible_from ?? current.version;
  if (oldest <= newest) return;
  throw new ServerError("ERR_STORE_TOO_NEW", "The database was written by a newer release", {
    why: `its schema has version ${current.version} and fits releases from version ${oldest} on, this release knows up to ${newest}`,
    nextSteps: ["start the newer release again, or restore a backup from before the update"],
  });
}
