import { type ColumnDataType, type Kysely, sql } from "kysely";
import { bytesType, isPostgres } from "../dialect.ts";

/**
 * The tables that the servers on one database share. control/cluster/rows.ts documents the rows of `tailnet_*`, and
 * cluster-database.ts beside it those of `replicas`. There are no foreign keys, so what a dead server left can be removed in any
 * order.
 */
export async function cluster(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("replicas")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("hostname", "text", (column) => column.notNull())
    .addColumn("relay_address", "text", (column) => column.notNull())
    .addColumn("region_id", "bigint", (column) => column.notNull())
    .addColumn("version", "text", (column) => column.notNull())
    .addColumn("started_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("stopped_at", "bigint")
    .addColumn("error", "text", (column) => column.notNull())
    .addColumn("database_latency_us", "bigint", (column) => column.notNull())
    .execute();

  await db.schema
    .createTable("tailnet_servers")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("replica_id", "text", (column) => column.notNull())
    .addColumn("protocol", "bigint", (column) => column.notNull())
    .addColumn("head", "bigint", (column) => column.notNull())
    .addColumn("heartbeat_at", "bigint", (column) => column.notNull())
    .addColumn("draining_at", "bigint")
    .execute();

  const bytes: ColumnDataType = bytesType(db);
  await db.schema
    .createTable("tailnet_peers")
    .addColumn("server", "text", (column) => column.notNull())
    .addColumn("id", "text", (column) => column.notNull())
    .addColumn("rev", "bigint", (column) => column.notNull())
    .addColumn("state", "bigint", (column) => column.notNull())
    .addColumn("kind", "bigint", (column) => column.notNull())
    .addColumn("session", "bigint", (column) => column.notNull())
    .addColumn("key", bytes)
    .addColumn("node", bytes)
    .addColumn("reason", "text", (column) => column.notNull())
    .addColumn("changed_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("tailnet_peers_key", ["server", "id"])
    .execute();
  await db.schema.createIndex("tailnet_peers_rev").on("tailnet_peers").columns(["server", "rev"]).execute();

  await db.schema
    .createTable("tailnet_tunnels")
    .addColumn("server", "text", (column) => column.notNull())
    .addColumn("src", "text", (column) => column.notNull())
    .addColumn("dst", "text", (column) => column.notNull())
    .addColumn("rev", "bigint", (column) => column.notNull())
    .addColumn("gone", "bigint", (column) => column.notNull())
    .addColumn("changed_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("tailnet_tunnels_key", ["server", "src", "dst"])
    .execute();
  await db.schema.createIndex("tailnet_tunnels_rev").on("tailnet_tunnels").columns(["server", "rev"]).execute();

  await db.schema
    .createTable("tailnet_signals")
    .addColumn("server", "text", (column) => column.notNull())
    .addColumn("rev", "bigint", (column) => column.notNull())
    .addColumn("src", "text", (column) => column.notNull())
    .addColumn("dst", "text", (column) => column.notNull())
    .addColumn("changed_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("tailnet_signals_key", ["server", "rev"])
    .execute();

  await db.schema
    .createTable("cluster_events")
    .addColumn("server", "text", (column) => column.notNull())
    .addColumn("rev", "bigint", (column) => column.notNull())
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("body", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("cluster_events_key", ["server", "rev"])
    .execute();

  if (!isPostgres(db)) return;
  // Rows are updated in place many times: leave room in their pages, and vacuum early.
  for (const table of ["tailnet_peers", "tailnet_tunnels"])
    await sql`alter table ${sql.ref(table)} set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)`.execute(db);
}
