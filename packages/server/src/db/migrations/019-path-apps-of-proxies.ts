import type { Kysely } from "kysely";

/** Whether a workspace proxy serves apps below paths. Older programs state nothing and serve none. */
export async function pathAppsOfProxies(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable("workspace_proxies")
    .addColumn("path_apps", "bigint", (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema.alterTable("workspace_proxy_replicas").addColumn("path_apps", "bigint").execute();
}
