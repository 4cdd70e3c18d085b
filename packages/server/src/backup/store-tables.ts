import type { Database } from "../db/schema.ts";

/**
 * `access_outbox` and the grants of workspace proxies concern the sockets of running servers, so a copy of the store leaves them
 * out.
 */
type TableName = Exclude<keyof Database, "schema_migrations" | "access_outbox" | "proxy_app_grants">;

/**
 * Every table of a store, each after those that it refers to: the order in which rows can be inserted. The type turns a new table
 * into a compile error here until it is given its place.
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
