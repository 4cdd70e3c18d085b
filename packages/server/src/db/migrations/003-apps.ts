import { type Kysely, sql } from "kysely";
import { appAlias } from "../../base/app-alias.ts";

export async function apps(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable("agents")
    .addColumn("app_alias", "text", (column) => column.notNull().defaultTo(""))
    .execute();
  const { rows } = await sql<{ id: string }>`select id from agents`.execute(db);
  for (const { id } of rows) await sql`update agents set app_alias = ${appAlias(id)} where id = ${id}`.execute(db);
  await db.schema.createIndex("agents_app_alias").on("agents").column("app_alias").unique().execute();

  await db.schema
    .createTable("port_shares")
    .addColumn("workspace_id", "text", (column) => column.notNull().references("workspaces.id"))
    .addColumn("agent_name", "text", (column) => column.notNull())
    .addColumn("port", "bigint", (column) => column.notNull())
    .addColumn("protocol", "text", (column) => column.notNull())
    .addColumn("level", "text", (column) => column.notNull())
    .addColumn("label", "text", (column) => column.notNull())
    .addColumn("expires_at", "bigint")
    .addColumn("host_header", "text", (column) => column.notNull())
    .addColumn("created_by", "text", (column) => column.notNull().references("users.id"))
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("port_shares_key", ["workspace_id", "agent_name", "port"])
    .execute();

  await db.schema
    .createTable("app_sessions")
    .addColumn("id_hash", "text", (column) => column.primaryKey())
    .addColumn("key_id", "text", (column) => column.notNull())
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("host", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("expires_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("app_sessions_key").on("app_sessions").column("key_id").execute();
}
