import type { Kysely } from "kysely";

/** What each process of a workspace proxy states about its relay; null if it registered with an older program. */
export async function proxyStatements(db: Kysely<unknown>): Promise<void> {
  for (const column of ["derp_enabled", "derp_only", "stun_port"])
    await db.schema.alterTable("workspace_proxy_replicas").addColumn(column, "bigint").execute();
}
