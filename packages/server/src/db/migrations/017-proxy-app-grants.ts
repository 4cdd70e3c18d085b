import type { Kysely } from "kysely";

/** Apps and terminals that workspace proxies serve at present. db/schema.ts documents the columns. */
export async function proxyAppGrants(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("proxy_app_grants")
    .addColumn("id_hash", "text", (column) => column.primaryKey())
    .addColumn("proxy_id", "text", (column) => column.notNull())
    .addColumn("workspace_id", "text", (column) => column.notNull())
    .addColumn("owner_id", "text", (column) => column.notNull())
    .addColumn("agent_id", "text", (column) => column.notNull())
    .addColumn("key_id", "text", (column) => column.notNull())
    .addColumn("user_id", "text", (column) => column.notNull())
    .addColumn("app", "text", (column) => column.notNull())
    .addColumn("renewed_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex("proxy_app_grants_agent")
    .on("proxy_app_grants")
    .columns(["proxy_id", "agent_id", "renewed_at"])
    .execute();
  await db.schema.createIndex("proxy_app_grants_renewed").on("proxy_app_grants").column("renewed_at").execute();
}
