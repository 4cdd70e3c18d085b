import type { Kysely } from "kysely";

export async function declaredApps(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("apps")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("agent_id", "text", (column) => column.notNull().references("agents.id"))
    .addColumn("workspace_id", "text", (column) => column.notNull().references("workspaces.id"))
    .addColumn("slug", "text", (column) => column.notNull())
    .addColumn("position", "bigint", (column) => column.notNull())
    .addColumn("display_name", "text", (column) => column.notNull())
    .addColumn("icon", "text", (column) => column.notNull())
    .addColumn("url", "text", (column) => column.notNull())
    .addColumn("external", "bigint", (column) => column.notNull())
    .addColumn("command", "text", (column) => column.notNull())
    .addColumn("subdomain", "bigint", (column) => column.notNull())
    .addColumn("level", "text", (column) => column.notNull())
    .addColumn("requested_level", "text")
    .addColumn("group_name", "text", (column) => column.notNull())
    .addColumn("hidden", "bigint", (column) => column.notNull())
    .addColumn("open_in", "text", (column) => column.notNull())
    .addColumn("tooltip", "text", (column) => column.notNull())
    .addColumn("host_header", "text", (column) => column.notNull())
    .addColumn("health_url", "text", (column) => column.notNull())
    .addColumn("health_interval_seconds", "bigint", (column) => column.notNull())
    .addColumn("health_threshold", "bigint", (column) => column.notNull())
    .addColumn("health", "text", (column) => column.notNull())
    .addColumn("source", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addUniqueConstraint("apps_workspace_slug", ["workspace_id", "slug"])
    .execute();
  await db.schema.createIndex("apps_agent").on("apps").column("agent_id").execute();
}
