import { z } from "zod";
import { workspaceAgent } from "./agents.ts";
import { nameText, timestamp, uuid } from "./common.ts";
import { browserOnlyBy, connectionPolicy } from "./connection-policy.ts";
import { provisionerJob } from "./templates.ts";
import { MAX_APPS_PER_AGENT, newWorkspaceApp } from "./workspace-apps.ts";

export const transition = z.enum(["start", "stop", "delete"]);
export type Transition = z.infer<typeof transition>;

export const workspaceStatus = z.enum([
  "pending",
  "starting",
  "running",
  "stopping",
  "stopped",
  "failed",
  "canceling",
  "canceled",
  "deleting",
  "deleted",
]);
export type WorkspaceStatus = z.infer<typeof workspaceStatus>;

export const workspaceResource = z.object({
  id: uuid,
  created_at: timestamp,
  job_id: uuid,
  workspace_transition: transition,
  type: z.string(),
  name: z.string(),
  hide: z.boolean(),
  icon: z.string(),
  agents: z.array(workspaceAgent).optional(),
  metadata: z.array(z.unknown()).optional(),
  daily_cost: z.number(),
});
export type WorkspaceResource = z.infer<typeof workspaceResource>;

/** Type of the resource whose agent is started by hand. */
export const EXTERNAL_AGENT_RESOURCE = "coder_external_agent";

export const workspaceBuild = z.object({
  id: uuid,
  created_at: timestamp,
  updated_at: timestamp,
  workspace_id: uuid,
  workspace_name: z.string(),
  workspace_owner_id: uuid,
  workspace_owner_name: z.string(),
  workspace_owner_avatar_url: z.string().optional(),
  template_version_id: uuid,
  template_version_name: z.string(),
  build_number: z.number().int(),
  transition,
  initiator_id: uuid,
  initiator_name: z.string(),
  job: provisionerJob,
  reason: z.string(),
  resources: z.array(workspaceResource),
  deadline: timestamp.optional(),
  max_deadline: timestamp.optional(),
  status: workspaceStatus,
  daily_cost: z.number(),
  matched_provisioners: z.unknown().optional(),
  template_version_preset_id: uuid.nullish(),
  has_ai_task: z.boolean().optional(),
  has_external_agent: z.boolean().optional(),
});
export type WorkspaceBuild = z.infer<typeof workspaceBuild>;

export const workspace = z.object({
  id: uuid,
  created_at: timestamp,
  updated_at: timestamp,
  owner_id: uuid,
  owner_name: z.string(),
  owner_avatar_url: z.string(),
  organization_id: uuid,
  organization_name: z.string(),
  template_id: uuid,
  template_name: z.string(),
  template_display_name: z.string(),
  template_icon: z.string(),
  template_allow_user_cancel_workspace_jobs: z.boolean(),
  template_active_version_id: uuid,
  template_require_active_version: z.boolean(),
  template_use_classic_parameter_flow: z.boolean().optional(),
  latest_build: workspaceBuild,
  latest_app_status: z.unknown().nullish(),
  outdated: z.boolean(),
  name: z.string(),
  autostart_schedule: z.string().optional(),
  ttl_ms: z.number().optional(),
  last_used_at: timestamp,
  deleting_at: timestamp.nullable(),
  dormant_at: timestamp.nullable(),
  health: z.object({ healthy: z.boolean(), failing_agents: z.array(uuid) }),
  automatic_updates: z.enum(["always", "never"]),
  allow_renames: z.boolean(),
  favorite: z.boolean(),
  next_start_at: timestamp.nullable(),
  is_prebuild: z.boolean().optional(),
  /** Our additions; absent from stock servers. */
  connection_policy: connectionPolicy.optional(),
  /** Set when the workspace's owner may connect from browsers only: whose setting that is. */
  browser_only_by: browserOnlyBy.optional(),
  /** Its terminals are end-to-end encrypted, or refused. */
  require_e2e: z.boolean().optional(),
});
export type Workspace = z.infer<typeof workspace>;

export const workspacesResponse = z.object({ workspaces: z.array(workspace), count: z.number().int() });
export type WorkspacesResponse = z.infer<typeof workspacesResponse>;

const agentPlatform = z
  .string()
  .max(32)
  .regex(/^[a-z0-9_]*$/);

const MAX_SCRIPT_BYTES = 64 * 1024;
const MAX_SECONDS = 7 * 24 * 3600;

/** A script of the agent. Times in seconds; 0 for no limit. */
export const newAgentScript = z.object({
  display_name: z.string().min(1).max(127),
  script: z.string().min(1).max(MAX_SCRIPT_BYTES),
  log_path: z.string().max(4096).default(""),
  cron: z.string().max(256).default(""),
  run_on_start: z.boolean().default(false),
  run_on_stop: z.boolean().default(false),
  start_blocks_login: z.boolean().default(false),
  timeout_seconds: z.number().int().min(0).max(MAX_SECONDS).default(0),
});
export type NewAgentScript = z.infer<typeof newAgentScript>;

/**
 * A fact that the agent collects periodically. Times in seconds; interval 0 means once, timeout 0 the agent's choice.
 */
export const newAgentMetadata = z.object({
  key: z.string().min(1).max(127),
  display_name: z.string().max(127).default(""),
  script: z.string().min(1).max(MAX_SCRIPT_BYTES),
  interval_seconds: z.number().int().min(0).max(MAX_SECONDS),
  timeout_seconds: z.number().int().min(0).max(MAX_SECONDS).default(0),
});
export type NewAgentMetadata = z.infer<typeof newAgentMetadata>;

/**
 * POST /users/{user}/workspaces. Exactly one of template_id and template_version_id, or neither for the built-in
 * template of external workspaces. The agent_* fields are our addition.
 */
export const createWorkspaceRequest = z.object({
  name: nameText,
  template_id: z.string().optional(),
  template_version_id: z.string().optional(),
  autostart_schedule: z.string().max(256).nullish(),
  ttl_ms: z.number().int().min(0).nullish(),
  rich_parameter_values: z.array(z.unknown()).max(256).nullish(),
  automatic_updates: z.enum(["always", "never", ""]).optional(),
  agent_name: nameText.optional(),
  agent_os: agentPlatform.optional(),
  agent_arch: agentPlatform.optional(),
  agent_directory: z.string().max(4096).optional(),
  agent_motd_file: z.string().max(4096).optional(),
  agent_scripts: z.array(newAgentScript).max(32).optional(),
  agent_metadata: z
    .array(newAgentMetadata)
    .max(64)
    .refine((all) => new Set(all.map(({ key }) => key)).size === all.length, "the keys must differ")
    .optional(),
  /** Apps of the agent. */
  apps: z.array(newWorkspaceApp).max(MAX_APPS_PER_AGENT).optional(),
});
export type CreateWorkspaceRequest = z.infer<typeof createWorkspaceRequest>;

export const createBuildRequest = z.object({
  transition,
  template_version_id: z.string().optional(),
  dry_run: z.boolean().optional(),
  orphan: z.boolean().optional(),
  rich_parameter_values: z.array(z.unknown()).max(256).nullish(),
  log_level: z.string().max(16).optional(),
  reason: z.string().max(64).optional(),
});
export type CreateBuildRequest = z.infer<typeof createBuildRequest>;

export const buildLog = z.object({
  id: z.number().int(),
  created_at: timestamp,
  log_source: z.enum(["provisioner_daemon", "provisioner"]),
  log_level: z.enum(["trace", "debug", "info", "warn", "error"]),
  stage: z.string(),
  output: z.string(),
});
export type BuildLog = z.infer<typeof buildLog>;

export const usageAppName = z.enum(["vscode", "jetbrains", "reconnecting-pty", "ssh"]);
export const usageRequest = z.object({ agent_id: uuid.optional(), app_name: z.string().max(64).optional() });
export type UsageRequest = z.infer<typeof usageRequest>;

export const renameWorkspaceRequest = z.object({ name: nameText });
