import type { Kysely } from "kysely";

export async function agentScripts(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable("agents")
    .addColumn("motd_file", "text", (column) => column.notNull().defaultTo(""))
    .execute();
  await db.schema
    .alterTable("agents")
    .addColumn("last_log_id", "bigint", (column) => column.notNull().defaultTo(0))
    .execute();

  await db.schema
    .createTable("agent_scripts")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("agent_id", "text", (column) => column.notNull().references("agents.id"))
    .addColumn("position", "bigint", (column) => column.notNull())
    .addColumn("log_source_id", "text", (column) => column.notNull())
    .addColumn("display_name", "text", (column) => column.notNull())
    .addColumn("log_path", "text", (column) => column.notNull())
    .addColumn("script", "text", (column) => column.notNull())
    .addColumn("cron", "text", (column) => column.notNull())
    .addColumn("run_on_start", "bigint", (column) => column.notNull())
    .addColumn("run_on_stop", "bigint", (column) => column.notNull())
    .addColumn("start_blocks_login", "bigint", (column) => column.notNull())
    .addColumn("timeout_seconds", "bigint", (column) => column.notNull())
    .addColumn("last_started_at", "bigint")
    .addColumn("last_ended_at", "bigint")
    .addColumn("last_exit_code", "bigint")
    .addColumn("last_stage", "text")
    .addColumn("last_status", "text")
    .execute();
  await db.schema.createIndex("agent_scripts_agent").on("agent_scripts").column("agent_id").execute();

  await db.schema
    .createTable("agent_metadata")
    .addColumn("agent_id", "text", (column) => column.notNull().references("agents.id"))
    .addColumn("key", "text", (column) => column.notNull())
    .addColumn("position", "bigint", (column) => column.notNull())
    .addColumn("display_name", "text", (column) => column.notNull())
    .addColumn("script", "text", (column) => column.notNull())
    .addColumn("interval_seconds", "bigint", (column) => column.notNull())
    .addColumn("timeout_seconds", "bigint", (column) => column.notNull())
    .addColumn("value", "text", (column) => column.notNull())
    .addColumn("error", "text", (column) => column.notNull())
    .addColumn("collected_at", "bigint")
    .addPrimaryKeyConstraint("agent_metadata_key", ["agent_id", "key"])
    .execute();
}
