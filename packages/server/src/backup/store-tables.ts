import type { Database } from "../db/schema.ts";

/**
 * What waits in `access_outbox`, and what workspace proxies serve at present, concerns sockets of servers that run: a copy of the
 * store has none.
 */
type TableName = Exclude<keyof Database, "schema_migrations" | "access_outbox" | "proxy_app_grants">;

/**
 * Every table of a store, each behind those that it refers to: the order in which rows can be inserted. The type makes a new
 * table a compile error here until it has its place.
 */
const IN_ORDER: Readonly<Record<TableName, true>> = {
  settings: true,
  users: true,
  user_settings: true,
  api_keys: true,
  workspaces: true,
  workspace_builds: true,
  agents: true,
  apps: true,
  agent_log_sources: true,
  agent_logs: true,
  connection_reports: true,
  agent_scripts: true,
  agent_metadata: true,
  port_shares: true,
  app_sessions: true,
  workspace_proxies: true,
  workspace_proxy_replicas: true,
};

export const STORE_TABLES = Object.keys(IN_ORDER) as readonly TableName[];
