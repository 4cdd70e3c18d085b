import type { Kysely } from "kysely";

export async function initial(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("settings")
    .addColumn("key", "text", (column) => column.primaryKey())
    .addColumn("value", "text", (column) => column.notNull())
    .execute();

  await db.schema
    .createTable("users")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("email", "text", (column) => column.notNull())
    .addColumn("email_key", "text", (column) => column.notNull().unique())
    .addColumn("username", "text", (column) => column.notNull())
    .addColumn("username_key", "text", (column) => column.notNull().unique())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("password_hash", "text", (column) => column.notNull())
    .addColumn("role", "text", (column) => column.notNull())
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("last_seen_at", "bigint")
    .addColumn("deleted_at", "bigint")
    .execute();

  await db.schema
    .createTable("api_keys")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("secret_hash", "text", (column) => column.notNull())
    .addColumn("login_type", "text", (column) => column.notNull())
    .addColumn("scope", "text", (column) => column.notNull())
    .addColumn("token_name", "text", (column) => column.notNull())
    .addColumn("lifetime_seconds", "bigint", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("last_used", "bigint", (column) => column.notNull())
    .addColumn("expires_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("api_keys_user").on("api_keys").column("user_id").execute();

  await db.schema
    .createTable("workspaces")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("owner_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("name_key", "text", (column) => column.notNull())
    .addColumn("ttl_ms", "bigint")
    .addColumn("autostart_schedule", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("last_used_at", "bigint", (column) => column.notNull())
    .addColumn("deleted_at", "bigint")
    .addUniqueConstraint("workspaces_owner_name", ["owner_id", "name_key"])
    .execute();

  await db.schema
    .createTable("workspace_builds")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("workspace_id", "text", (column) => column.notNull().references("workspaces.id"))
    .addColumn("build_number", "bigint", (column) => column.notNull())
    .addColumn("transition", "text", (column) => column.notNull())
    .addColumn("reason", "text", (column) => column.notNull())
    .addColumn("initiator_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("completed_at", "bigint", (column) => column.notNull())
    .addUniqueConstraint("workspace_builds_number", ["workspace_id", "build_number"])
    .execute();

  await db.schema
    .createTable("agents")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("workspace_id", "text", (column) => column.notNull().references("workspaces.id"))
    .addColumn("resource_id", "text", (column) => column.notNull())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("token_generation", "bigint", (column) => column.notNull())
    .addColumn("token_hash", "text", (column) => column.notNull().unique())
    .addColumn("operating_system", "text", (column) => column.notNull())
    .addColumn("architecture", "text", (column) => column.notNull())
    .addColumn("directory", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("connection_timeout_seconds", "bigint", (column) => column.notNull())
    .addColumn("first_connected_at", "bigint")
    .addColumn("last_connected_at", "bigint")
    .addColumn("disconnected_at", "bigint")
    .addColumn("lifecycle_state", "text", (column) => column.notNull())
    .addColumn("started_at", "bigint")
    .addColumn("ready_at", "bigint")
    .addColumn("version", "text", (column) => column.notNull())
    .addColumn("api_version", "text", (column) => column.notNull())
    .addColumn("expanded_directory", "text", (column) => column.notNull())
    .addColumn("subsystems", "text", (column) => column.notNull())
    .addColumn("logs_length", "bigint", (column) => column.notNull())
    .addColumn("logs_overflowed", "bigint", (column) => column.notNull())
    .addUniqueConstraint("agents_workspace_name", ["workspace_id", "name"])
    .execute();

  await db.schema
    .createTable("agent_log_sources")
    .addColumn("agent_id", "text", (column) => column.notNull().references("agents.id"))
    .addColumn("id", "text", (column) => column.notNull())
    .addColumn("display_name", "text", (column) => column.notNull())
    .addColumn("icon", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("agent_log_sources_key", ["agent_id", "id"])
    .execute();

  await db.schema
    .createTable("agent_logs")
    .addColumn("agent_id", "text", (column) => column.notNull().references("agents.id"))
    .addColumn("id", "bigint", (column) => column.notNull())
    .addColumn("source_id", "text", (column) => column.notNull())
    .addColumn("level", "text", (column) => column.notNull())
    .addColumn("output", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("agent_logs_key", ["agent_id", "id"])
    .execute();

  await db.schema
    .createTable("connection_reports")
    .addColumn("agent_id", "text", (column) => column.notNull().references("agents.id"))
    .addColumn("id", "bigint", (column) => column.notNull())
    .addColumn("connection_id", "text", (column) => column.notNull())
    .addColumn("action", "text", (column) => column.notNull())
    .addColumn("type", "text", (column) => column.notNull())
    .addColumn("ip", "text", (column) => column.notNull())
    .addColumn("status_code", "bigint", (column) => column.notNull())
    .addColumn("reason", "text", (column) => column.notNull())
    .addColumn("reported_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("connection_reports_key", ["agent_id", "id"])
    .execute();
}
