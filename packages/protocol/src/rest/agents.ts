import { z } from "zod";
import { timestamp, uuid } from "./common.ts";

export const agentStatus = z.enum(["connecting", "connected", "disconnected", "timeout"]);
export type AgentStatus = z.infer<typeof agentStatus>;

export const agentLifecycle = z.enum([
  "created",
  "starting",
  "start_timeout",
  "start_error",
  "ready",
  "shutting_down",
  "shutdown_timeout",
  "shutdown_error",
  "off",
]);
export type AgentLifecycle = z.infer<typeof agentLifecycle>;

export const agentSubsystem = z.enum(["envbox", "envbuilder", "exectrace"]);
export type AgentSubsystem = z.infer<typeof agentSubsystem>;

export const agentLogSource = z.object({
  workspace_agent_id: uuid,
  id: uuid,
  created_at: timestamp,
  display_name: z.string(),
  icon: z.string(),
});
export type AgentLogSource = z.infer<typeof agentLogSource>;

export const agentScript = z.object({
  id: uuid,
  log_source_id: uuid,
  log_path: z.string(),
  script: z.string(),
  cron: z.string(),
  run_on_start: z.boolean(),
  run_on_stop: z.boolean(),
  start_blocks_login: z.boolean(),
  timeout: z.number(),
  display_name: z.string(),
  /** Result of its latest run; absent while it has none. Our addition. */
  status: z.enum(["ok", "exit_failure", "timed_out", "pipes_left_open"]).optional(),
  exit_code: z.number().int().optional(),
});
export type AgentScript = z.infer<typeof agentScript>;

export const workspaceAgent = z.object({
  id: uuid,
  parent_id: uuid.nullish(),
  created_at: timestamp,
  updated_at: timestamp,
  first_connected_at: timestamp.optional(),
  last_connected_at: timestamp.optional(),
  disconnected_at: timestamp.optional(),
  started_at: timestamp.optional(),
  ready_at: timestamp.optional(),
  status: agentStatus,
  lifecycle_state: agentLifecycle,
  name: z.string(),
  resource_id: uuid,
  instance_id: z.string().optional(),
  architecture: z.string(),
  environment_variables: z.record(z.string(), z.string()),
  operating_system: z.string(),
  logs_length: z.number().int(),
  logs_overflowed: z.boolean(),
  directory: z.string().optional(),
  expanded_directory: z.string().optional(),
  version: z.string(),
  api_version: z.string(),
  apps: z.array(z.unknown()),
  latency: z.record(z.string(), z.object({ preferred: z.boolean(), latency_ms: z.number() })).optional(),
  connection_timeout_seconds: z.number().int(),
  troubleshooting_url: z.string(),
  subsystems: z.array(z.string()),
  health: z.object({ healthy: z.boolean(), reason: z.string().optional() }),
  display_apps: z.array(z.string()),
  log_sources: z.array(agentLogSource),
  scripts: z.array(agentScript),
  startup_script_behavior: z.string(),
});
export type WorkspaceAgent = z.infer<typeof workspaceAgent>;

export const logLevel = z.enum(["trace", "debug", "info", "warn", "error"]);
export type LogLevel = z.infer<typeof logLevel>;

export const agentLog = z.object({
  id: z.number().int(),
  created_at: timestamp,
  output: z.string(),
  level: logLevel,
  source_id: uuid,
});
export type AgentLog = z.infer<typeof agentLog>;

export const agentLogs = z.array(agentLog);

/** Bounds of what an agent may send in one request (PATCH …/me/logs). */
export const MAX_LOGS_PER_REQUEST = 1000;
export const MAX_LOG_LINE_LENGTH = 64 * 1024;

export const patchAgentLogsRequest = z.object({
  log_source_id: uuid.optional(),
  logs: z
    .array(
      z.object({
        created_at: timestamp,
        output: z.string().max(MAX_LOG_LINE_LENGTH),
        level: logLevel,
      }),
    )
    .max(MAX_LOGS_PER_REQUEST),
});
export type PatchAgentLogsRequest = z.infer<typeof patchAgentLogsRequest>;

export const postLogSourceRequest = z.object({
  id: uuid.optional(),
  display_name: z.string().min(1).max(127),
  icon: z.string().max(1024).default(""),
});
export type PostLogSourceRequest = z.infer<typeof postLogSourceRequest>;

/** One fact about an agent; the watch-metadata routes send all facts at once. Intervals and ages in seconds. */
export const agentMetadata = z.object({
  result: z.object({
    /** Go's zero time while there is no value yet. */
    collected_at: timestamp,
    age: z.number().int(),
    value: z.string(),
    error: z.string(),
  }),
  description: z.object({
    display_name: z.string(),
    key: z.string(),
    script: z.string(),
    interval: z.number().int(),
    timeout: z.number().int(),
  }),
});
export type AgentMetadata = z.infer<typeof agentMetadata>;

/** The protocol of a program that listens on a port. */
export const portKind = z.enum(["http", "https", "other"]);
export type PortKind = z.infer<typeof portKind>;

export const listeningPortsResponse = z.object({
  ports: z.array(
    z.object({
      process_name: z.string(),
      network: z.string(),
      port: z.number().int(),
      /** Our addition. Absent if it was not requested or is not known. */
      kind: portKind.optional().catch(undefined),
    }),
  ),
  /** Our addition, of the server: where ports are opened, with `{{port}}` for the port; empty without a wildcard access URL. */
  address: z.string().optional(),
});
export type ListeningPortsResponse = z.infer<typeof listeningPortsResponse>;

export const containersResponse = z.object({
  devcontainers: z.array(z.unknown()).nullish(),
  containers: z.array(z.unknown()),
  warnings: z.array(z.string()).nullish(),
});
export type ContainersResponse = z.infer<typeof containersResponse>;

/** The relay map is checked by the engine, which owns its shape; here it is any object or null. */
export const connectionInfo = z.object({
  derp_map: z.record(z.string(), z.unknown()).nullable(),
  derp_force_websockets: z.boolean(),
  disable_direct_connections: z.boolean(),
  hostname_suffix: z.string().optional(),
  /** Our addition: the caller may connect from browsers only. */
  browser_only: z.boolean().optional(),
});
export type ConnectionInfo = z.infer<typeof connectionInfo>;

/** `command` is the one line that starts the agent, token included. */
export const externalAgentCredentials = z.object({
  /** For the system that the machine was declared as. */
  command: z.string(),
  agent_token: z.string(),
  /** The command for each system. Ours. */
  commands: z.object({ linux: z.string(), darwin: z.string(), windows: z.string() }).optional(),
});
export type ExternalAgentCredentials = z.infer<typeof externalAgentCredentials>;
