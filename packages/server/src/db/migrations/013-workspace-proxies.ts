import type { Kysely } from "kysely";

/** Workspace proxies, and the running processes of each. db/schema.ts documents the columns. */
export async function workspaceProxies(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("workspace_proxies")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("name_key", "text", (column) => column.notNull().unique())
    .addColumn("display_name", "text", (column) => column.notNull())
    .addColumn("icon", "text", (column) => column.notNull())
    .addColumn("token_hash", "text", (column) => column.notNull())
    .addColumn("token_generation", "bigint", (column) => column.notNull())
    .addColumn("region_number", "bigint", (column) => column.notNull().unique())
    .addColumn("url", "text", (column) => column.notNull())
    .addColumn("wildcard_hostname", "text", (column) => column.notNull())
    .addColumn("derp_enabled", "bigint", (column) => column.notNull())
    .addColumn("derp_only", "bigint", (column) => column.notNull())
    .addColumn("stun_port", "bigint", (column) => column.notNull())
    .addColumn("version", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("last_registered_at", "bigint")
    .addColumn("health", "text", (column) => column.notNull())
    .addColumn("health_at", "bigint")
    .addColumn("health_failures", "bigint", (column) => column.notNull())
    .addColumn("check_claimed_at", "bigint", (column) => column.notNull())
    .addColumn("in_map", "bigint", (column) => column.notNull())
    .addColumn("deleted_at", "bigint")
    .execute();

  await db.schema
    .createTable("workspace_proxy_replicas")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("proxy_id", "text", (column) => column.notNull())
    .addColumn("hostname", "text", (column) => column.notNull())
    .addColumn("relay_address", "text", (column) => column.notNull())
    .addColumn("version", "text", (column) => column.notNull())
    .addColumn("error", "text", (column) => column.notNull())
    .addColumn("started_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("stopped_at", "bigint")
    .execute();
  await db.schema
    .createIndex("workspace_proxy_replicas_proxy")
    .on("workspace_proxy_replicas")
    .columns(["proxy_id", "updated_at"])
    .execute();
}
