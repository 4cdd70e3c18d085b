import type { ShareLevel } from "coder-protocol/rest/apps";
import type { ConnectionPolicy } from "coder-protocol/rest/connection-policy";
import type { AppHealth } from "coder-protocol/rest/workspace-apps";
import type { Generated, Insertable, Selectable } from "kysely";

/**
 * Column types that mean the same in SQLite and PostgreSQL: text; integer for counts, 0/1 flags and milliseconds
 * since 1970 (bigint in PostgreSQL); bytes (bytesType in dialect.ts). Ids are UUID text. Lists are JSON text.
 */
export interface Database {
  schema_migrations: SchemaMigrationsTable;
  settings: SettingsTable;
  users: UsersTable;
  api_keys: ApiKeysTable;
  workspaces: WorkspacesTable;
  workspace_builds: WorkspaceBuildsTable;
  agents: AgentsTable;
  agent_log_sources: AgentLogSourcesTable;
  agent_logs: AgentLogsTable;
  connection_reports: ConnectionReportsTable;
  agent_scripts: AgentScriptsTable;
  agent_metadata: AgentMetadataTable;
  port_shares: PortSharesTable;
  app_sessions: AppSessionsTable;
  apps: AppsTable;
  user_settings: UserSettingsTable;
  access_outbox: AccessOutboxTable;
  workspace_proxies: WorkspaceProxiesTable;
  workspace_proxy_replicas: WorkspaceProxyReplicasTable;
  proxy_app_grants: ProxyAppGrantsTable;
}

export interface SchemaMigrationsTable {
  version: number;
  name: string;
  applied_at: number;
  /** The oldest version whose program can run on this schema. */
  compatible_from: Generated<number>;
}

export interface SettingsTable {
  key: string;
  value: string;
}

export interface UserSettingsTable {
  user_id: string;
  key: string;
  /** JSON. */
  value: string;
}

export type Role = "owner" | "member";

export interface UsersTable {
  id: string;
  email: string;
  /** Lower-case e-mail address, unique; `deleted:<id>` once the user is deleted, so that the address can be used again. */
  email_key: string;
  username: string;
  username_key: string;
  name: string;
  password_hash: string;
  role: Role;
  status: "active" | "suspended";
  connection_policy: Generated<ConnectionPolicy>;
  created_at: number;
  updated_at: number;
  last_seen_at: number | null;
  deleted_at: number | null;
}

export interface ApiKeysTable {
  /** The public half of the token: ten letters and digits. */
  id: string;
  user_id: string;
  /** SHA-256 of the secret half, hex. */
  secret_hash: string;
  /** "password" for a login, "token" for an API token. */
  login_type: "password" | "token";
  scope: "all" | "application_connect";
  token_name: string;
  lifetime_seconds: number;
  created_at: number;
  updated_at: number;
  last_used: number;
  expires_at: number;
}

export interface WorkspacesTable {
  id: string;
  owner_id: string;
  name: string;
  /** Lower-case name, unique per owner; `deleted:<id>` once the workspace is deleted. */
  name_key: string;
  ttl_ms: number | null;
  autostart_schedule: string | null;
  connection_policy: Generated<ConnectionPolicy>;
  /** 1: web terminals are end-to-end encrypted or refused. */
  require_e2e: Generated<number>;
  created_at: number;
  updated_at: number;
  last_used_at: number;
  deleted_at: number | null;
}

export interface WorkspaceBuildsTable {
  id: string;
  workspace_id: string;
  build_number: number;
  transition: "start" | "stop" | "delete";
  reason: string;
  initiator_id: string;
  created_at: number;
  completed_at: number;
}

export interface AgentsTable {
  id: string;
  workspace_id: string;
  resource_id: string;
  name: string;
  /** Generation of the valid token, from which the token is derived. */
  token_generation: number;
  /** SHA-256 of the valid token, hex. */
  token_hash: string;
  operating_system: string;
  architecture: string;
  directory: string;
  created_at: number;
  updated_at: number;
  connection_timeout_seconds: number;
  first_connected_at: number | null;
  last_connected_at: number | null;
  disconnected_at: number | null;
  /** The connection to which the state belongs; see AgentState.disconnected. */
  connection_id: Generated<string>;
  lifecycle_state: string;
  started_at: number | null;
  ready_at: number | null;
  version: string;
  api_version: string;
  expanded_directory: string;
  /** JSON array of texts. */
  subsystems: string;
  /** Bytes of log text kept; the limit is in agent-logs.ts. */
  logs_length: number;
  logs_overflowed: number;
  motd_file: Generated<string>;
  /** Ids of log lines are never reused, even after the lines are removed; 0 until the first line after an update. */
  last_log_id: Generated<number>;
  /** Stands for the agent in host names of apps. Unique; derived from the id. */
  app_alias: string;
}

export interface AgentLogSourcesTable {
  agent_id: string;
  id: string;
  display_name: string;
  icon: string;
  created_at: number;
}

export interface AgentLogsTable {
  agent_id: string;
  /** 1, 2, 3 … per agent. */
  id: number;
  source_id: string;
  level: string;
  output: string;
  created_at: number;
}

export interface ConnectionReportsTable {
  agent_id: string;
  /** 1, 2, 3 … per agent. */
  id: number;
  connection_id: string;
  action: "connect" | "disconnect";
  type: string;
  ip: string;
  status_code: number;
  reason: string;
  reported_at: number;
}

export interface AgentScriptsTable {
  id: string;
  agent_id: string;
  /** Order in the manifest. */
  position: number;
  log_source_id: string;
  display_name: string;
  log_path: string;
  script: string;
  cron: string;
  run_on_start: number;
  run_on_stop: number;
  start_blocks_login: number;
  timeout_seconds: number;
  /** Start of the latest run; null if there was none. Times are by the agent's clock. */
  last_started_at: number | null;
  last_ended_at: number | null;
  last_exit_code: number | null;
  last_stage: string | null;
  last_status: string | null;
}

export interface AgentMetadataTable {
  agent_id: string;
  key: string;
  position: number;
  display_name: string;
  script: string;
  interval_seconds: number;
  timeout_seconds: number;
  value: string;
  error: string;
  /** Null until the first result. */
  collected_at: number | null;
}

/** An owner's settings for a program, other than who may use it. */
export interface AppChoiceColumns {
  /** Whether the program itself answers pages of other origins. */
  cors: "simple" | "passthru";
  /** Origins whose pages may use the visitor's session, separated by spaces. */
  cors_origins: string;
  /** Other programs of the agent to which a sign-in also signs in, separated by spaces. */
  also: string;
  /** 1: the program receives the visitor's identity. */
  identity_headers: number;
}

export interface PortSharesTable extends AppChoiceColumns {
  workspace_id: string;
  agent_name: string;
  port: number;
  protocol: "http" | "https";
  level: ShareLevel;
  label: string;
  /** Null: shared until it is removed. */
  expires_at: number | null;
  /** What the program receives as `Host`: the name of the app's host, or localhost. */
  host_header: "preserve" | "localhost";
  created_by: string;
  created_at: number;
}

export interface AppSessionsTable {
  /** SHA-256 of the cookie's value, hex. */
  id_hash: string;
  key_id: string;
  user_id: string;
  /**
   * The only host for which the session is valid, in lower case and without a port; followed by the id of the proxy that serves
   * it, if any.
   */
  host: string;
  created_at: number;
  expires_at: number;
}

export interface AppsTable extends AppChoiceColumns {
  id: string;
  agent_id: string;
  workspace_id: string;
  /** Unique in the workspace. */
  slug: string;
  /** Order among the apps of an agent. */
  position: number;
  display_name: string;
  icon: string;
  url: string;
  external: number;
  command: string;
  subdomain: number;
  level: ShareLevel;
  /** The level that the agent requested; null for apps declared at the server. */
  requested_level: ShareLevel | null;
  group_name: string;
  hidden: number;
  open_in: "tab" | "slim-window";
  tooltip: string;
  host_header: "preserve" | "localhost";
  /** Empty: the app is not checked. */
  health_url: string;
  health_interval_seconds: number;
  health_threshold: number;
  health: AppHealth;
  /** Whether the app was declared at the server or by the agent. */
  source: "server" | "agent";
  created_at: number;
  updated_at: number;
}

export interface WorkspaceProxiesTable {
  id: string;
  name: string;
  /** Lower-case name, unique; `deleted:<id>` once the proxy is deleted. */
  name_key: string;
  display_name: string;
  icon: string;
  /** SHA-256 of the secret half of its token, hex. */
  token_hash: string;
  /** Number of tokens that the proxy has had. */
  token_generation: number;
  /** 1, 2, 3 …, never reused: the id of its region is derived from it. */
  region_number: number;
  /** Its access URL; empty until it registers. */
  url: string;
  wildcard_hostname: string;
  /**
   * 1: the address and the kind of service are those of its first registration, or an owner set them. 0: the proxy itself changed
   * its address, or began to serve more than its relay; it serves no apps and terminals until an owner confirms the change.
   */
  is_confirmed: Generated<number>;
  derp_enabled: number;
  derp_only: number;
  /** 1: it serves apps below paths of its access URL. */
  path_apps: Generated<number>;
  /** UDP port of its own STUN server; 0 if there is none. */
  stun_port: number;
  version: string;
  created_at: number;
  updated_at: number;
  last_registered_at: number | null;
  /** JSON of what the last checks found; empty if it was never checked. */
  health: string;
  health_at: number | null;
  /** Number of consecutive failed checks. */
  health_failures: number;
  /** When a server last claimed the task of checking it. */
  check_claimed_at: number;
  /** 1: its region is in the relay map. */
  in_map: number;
  deleted_at: number | null;
}

/**
 * What a workspace proxy serves to one visitor: while a grant for an agent is recent, the proxy may have a tunnel to that agent.
 */
export interface ProxyAppGrantsTable {
  /** SHA-256, hex: of the id with which a terminal is renewed, or of proxy, login and app. */
  id_hash: string;
  proxy_id: string;
  workspace_id: string;
  owner_id: string;
  agent_id: string;
  /** Login or API token of the visitor; empty for an anonymous one. */
  key_id: string;
  user_id: string;
  /** JSON that apps/proxy-app.ts reads. */
  app: string;
  renewed_at: number;
}

/** A process of a proxy, registered with its current access URL and current token. */
export interface WorkspaceProxyReplicasTable {
  /** New at each start. */
  id: string;
  proxy_id: string;
  hostname: string;
  /** Where its siblings reach its relay; empty if nowhere. */
  relay_address: string;
  version: string;
  error: string;
  /** What it states about its relay; null if an older program wrote the row, in which case the columns of the proxy apply. */
  derp_enabled: number | null;
  derp_only: number | null;
  stun_port: number | null;
  /** 1: it serves apps below paths; null: an older program wrote the row, or runs there. */
  path_apps: number | null;
  started_at: number;
  updated_at: number;
  stopped_at: number | null;
}

export type UserRow = Selectable<UsersTable>;
export type ApiKeyRow = Selectable<ApiKeysTable>;
export type WorkspaceRow = Selectable<WorkspacesTable>;
export type WorkspaceBuildRow = Selectable<WorkspaceBuildsTable>;
export type AgentRow = Selectable<AgentsTable>;
export type AgentLogRow = Selectable<AgentLogsTable>;
export type AgentLogSourceRow = Selectable<AgentLogSourcesTable>;
export type AgentScriptRow = Selectable<AgentScriptsTable>;
export type AgentMetadataRow = Selectable<AgentMetadataTable>;
export type PortShareRow = Selectable<PortSharesTable>;
export type AppSessionRow = Selectable<AppSessionsTable>;
export type AppRow = Selectable<AppsTable>;
export type ConnectionReportRow = Selectable<ConnectionReportsTable>;
export type WorkspaceProxyRow = Selectable<WorkspaceProxiesTable>;
export type WorkspaceProxyReplicaRow = Selectable<WorkspaceProxyReplicasTable>;
export type ProxyAppGrantRow = Selectable<ProxyAppGrantsTable>;

export type NewUser = Insertable<UsersTable>;
export type NewApiKey = Insertable<ApiKeysTable>;
export type NewWorkspace = Insertable<WorkspacesTable>;
export type NewAgent = Insertable<AgentsTable>;

/**
 * An event that takes a right away: written together with the change, removed together with writing the event that other servers
 * read.
 */
export interface AccessOutboxTable {
  id: string;
  /** JSON. */
  body: string;
  created_at: number;
}
