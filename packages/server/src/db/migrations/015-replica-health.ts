import type { Kysely } from "kysely";

/** The last health report of each server, which the pages of all others show. */
export async function replicaHealth(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("replicas").addColumn("health", "text").execute();
  await db.schema.alterTable("replicas").addColumn("health_at", "bigint").execute();
}
