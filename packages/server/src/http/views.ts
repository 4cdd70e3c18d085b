import type { AgentLog, AgentMetadata, AgentScript, WorkspaceAgent } from "coder-protocol/rest/agents";
import type { ApiKey } from "coder-protocol/rest/api-keys";
import { NIL_UUID, ZERO_TIME } from "coder-protocol/rest/common";
import type { Organization } from "coder-protocol/rest/organizations";
import type { ProvisionerJob, Template, TemplateVersion } from "coder-protocol/rest/templates";
import type { User } from "coder-protocol/rest/users";
import {
  type BuildLog,
  EXTERNAL_AGENT_RESOURCE,
  type Workspace,
  type WorkspaceBuild,
  type WorkspaceResource,
  type WorkspaceStatus,
} from "coder-protocol/rest/workspaces";
import { formatTime } from "../base/clock.ts";
import { notFound } from "../base/errors.ts";
import type {
  AgentLogRow,
  AgentLogSourceRow,
  AgentMetadataRow,
  AgentRow,
  AgentScriptRow,
  ApiKeyRow,
  UserRow,
  WorkspaceBuildRow,
  WorkspaceRow,
} from "../db/schema.ts";
import { agentStatus, DEFAULT_LOG_SOURCE_ID } from "../workspaces/agent-state.ts";
import type { RouteContext } from "./context.ts";

/** Rows as the bodies clients expect. Fields without a meaning here have the value a plain deployment sends. */

export const ORGANIZATION_NAME = "coder";
const ORGANIZATION_DISPLAY_NAME = "Coder";
export const TEMPLATE_NAME = "external";
const TEMPLATE_DISPLAY_NAME = "External workspace";
const TEMPLATE_VERSION_NAME = "built-in";
const TEMPLATE_ICON = "/icon/terminal.svg";

export function userView(context: RouteContext, user: UserRow): User {
  return {
    id: user.id,
    username: user.username,
    avatar_url: "",
    name: user.name,
    email: user.email,
    created_at: formatTime(user.created_at),
    updated_at: formatTime(user.updated_at),
    last_seen_at: user.last_seen_at === null ? ZERO_TIME : formatTime(user.last_seen_at),
    status: user.status,
    login_type: "password",
    theme_preference: "",
    organization_ids: [context.deployment.organizationId],
    roles: user.role === "owner" ? [{ name: "owner", display_name: "Owner" }] : [],
  };
}

export function apiKeyView(key: ApiKeyRow): ApiKey {
  return {
    id: key.id,
    user_id: key.user_id,
    last_used: formatTime(key.last_used),
    expires_at: formatTime(key.expires_at),
    created_at: formatTime(key.created_at),
    updated_at: formatTime(key.updated_at),
    login_type: key.login_type,
    scope: key.scope,
    scopes: [key.scope],
    token_name: key.token_name,
    lifetime_seconds: key.lifetime_seconds,
    allow_list: [],
  };
}

export function organizationView(context: RouteContext): Organization {
  const created = formatTime(context.deployment.createdAt);
  return {
    id: context.deployment.organizationId,
    name: ORGANIZATION_NAME,
    display_name: ORGANIZATION_DISPLAY_NAME,
    icon: "",
    description: "",
    created_at: created,
    updated_at: created,
    is_default: true,
  };
}

export function templateView(context: RouteContext): Template {
  const { deployment } = context;
  const created = formatTime(deployment.createdAt);
  return {
    id: deployment.templateId,
    created_at: created,
    updated_at: created,
    organization_id: deployment.organizationId,
    organization_name: ORGANIZATION_NAME,
    organization_display_name: ORGANIZATION_DISPLAY_NAME,
    organization_icon: "",
    name: TEMPLATE_NAME,
    display_name: TEMPLATE_DISPLAY_NAME,
    provisioner: "terraform",
    active_version_id: deployment.templateVersionId,
    active_user_count: -1,
    build_time_stats: {
      start: { P50: null, P95: null },
      stop: { P50: null, P95: null },
      delete: { P50: null, P95: null },
    },
    description: "A machine of your own: run the agent on it and it becomes a workspace",
    deprecated: false,
    deprecation_message: "",
    deleted: false,
    icon: TEMPLATE_ICON,
    default_ttl_ms: 0,
    activity_bump_ms: 0,
    autostop_requirement: { days_of_week: [], weeks: 1 },
    autostart_requirement: {
      days_of_week: ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    },
    created_by_id: NIL_UUID,
    created_by_name: "",
    allow_user_autostart: true,
    allow_user_autostop: true,
    allow_user_cancel_workspace_jobs: false,
    failure_ttl_ms: 0,
    time_til_dormant_ms: 0,
    time_til_dormant_autodelete_ms: 0,
    require_active_version: false,
    max_port_share_level: "owner",
    use_classic_parameter_flow: true,
  };
}

export function templateVersionView(context: RouteContext): TemplateVersion {
  const { deployment } = context;
  const created = formatTime(deployment.createdAt);
  return {
    id: deployment.templateVersionId,
    template_id: deployment.templateId,
    organization_id: deployment.organizationId,
    created_at: created,
    updated_at: created,
    name: TEMPLATE_VERSION_NAME,
    message: "",
    job: {
      ...completedJob(context, deployment.templateVersionId, NIL_UUID, deployment.createdAt),
      type: "template_version_import",
      input: { template_version_id: deployment.templateVersionId },
    },
    readme: "",
    created_by: { id: NIL_UUID, username: "", avatar_url: "" },
    archived: false,
    warnings: [],
    has_external_agent: true,
  };
}

/** What the version holds: one machine with one agent, no agent record yet. */
export function templateResources(context: RouteContext): WorkspaceResource[] {
  return [
    {
      id: context.deployment.templateVersionId,
      created_at: formatTime(context.deployment.createdAt),
      job_id: context.deployment.templateVersionId,
      workspace_transition: "start",
      type: EXTERNAL_AGENT_RESOURCE,
      name: "machine",
      hide: false,
      icon: "",
      agents: [],
      metadata: [],
      daily_cost: 0,
    },
  ];
}

export function completedJob(context: RouteContext, id: string, initiatorId: string, at: number): ProvisionerJob {
  const time = formatTime(at);
  return {
    id,
    created_at: time,
    started_at: time,
    completed_at: time,
    status: "succeeded",
    file_id: NIL_UUID,
    tags: { owner: "", scope: "organization" },
    queue_position: 0,
    queue_size: 0,
    organization_id: context.deployment.organizationId,
    initiator_id: initiatorId,
    input: {},
    type: "workspace_build",
    metadata: {
      template_version_name: TEMPLATE_VERSION_NAME,
      template_id: context.deployment.templateId,
      template_name: TEMPLATE_NAME,
      template_display_name: TEMPLATE_DISPLAY_NAME,
      template_icon: TEMPLATE_ICON,
    },
  };
}

export async function agentView(context: RouteContext, agent: AgentRow): Promise<WorkspaceAgent> {
  const sources = await context.store.agentLogs.sources(agent.id);
  const scripts = await context.store.agentScripts.list(agent.id);
  const status = agentStatus(agent, context.clock.now());
  const latency = status === "connected" ? context.controlPlane()?.agentLatency?.(agent.id) : undefined;
  const contest = context.controlPlane()?.agentContest?.(agent.id);
  const reason = contest === undefined ? unhealthyReason(status, agent.lifecycle_state) : contestReason(contest);
  const subsystems: string[] = JSON.parse(agent.subsystems);
  return {
    id: agent.id,
    parent_id: null,
    created_at: formatTime(agent.created_at),
    updated_at: formatTime(agent.updated_at),
    ...optionalTime("first_connected_at", agent.first_connected_at),
    ...optionalTime("last_connected_at", agent.last_connected_at),
    ...optionalTime("disconnected_at", agent.disconnected_at),
    ...optionalTime("started_at", agent.started_at),
    ...optionalTime("ready_at", agent.ready_at),
    status,
    lifecycle_state: agent.lifecycle_state as WorkspaceAgent["lifecycle_state"],
    name: agent.name,
    resource_id: agent.resource_id,
    architecture: agent.architecture,
    environment_variables: {},
    operating_system: agent.operating_system,
    logs_length: agent.logs_length,
    logs_overflowed: agent.logs_overflowed === 1,
    directory: agent.directory,
    expanded_directory: agent.expanded_directory,
    version: agent.version,
    api_version: agent.api_version,
    apps: [],
    ...(latency === undefined ? {} : { latency }),
    connection_timeout_seconds: agent.connection_timeout_seconds,
    troubleshooting_url: "",
    subsystems,
    health: reason === undefined ? { healthy: true } : { healthy: false, reason },
    display_apps: ["vscode", "web_terminal", "ssh_helper", "port_forwarding_helper"],
    log_sources: [defaultSource(agent), ...sources].map((source) => ({
      workspace_agent_id: agent.id,
      id: source.id,
      created_at: formatTime(source.created_at),
      display_name: source.display_name,
      icon: source.icon,
    })),
    scripts: scripts.map(scriptView),
    startup_script_behavior: scripts.some((script) => script.start_blocks_login === 1) ? "blocking" : "non-blocking",
  };
}

function scriptView(script: AgentScriptRow): AgentScript {
  return {
    id: script.id,
    log_source_id: script.log_source_id,
    log_path: script.log_path,
    script: script.script,
    cron: script.cron,
    run_on_start: script.run_on_start === 1,
    run_on_stop: script.run_on_stop === 1,
    start_blocks_login: script.start_blocks_login === 1,
    timeout: script.timeout_seconds * 1e9,
    display_name: script.display_name,
    ...(script.last_status === null ? {} : { status: script.last_status as NonNullable<AgentScript["status"]> }),
    ...(script.last_exit_code === null ? {} : { exit_code: script.last_exit_code }),
  };
}

export function agentMetadataView(metadata: AgentMetadataRow, now: number): AgentMetadata {
  const { collected_at: collected } = metadata;
  return {
    result: {
      collected_at: collected === null ? ZERO_TIME : formatTime(collected),
      age: collected === null ? 0 : Math.max(0, Math.round((now - collected) / 1000)),
      value: metadata.value,
      error: metadata.error,
    },
    description: {
      display_name: metadata.display_name,
      key: metadata.key,
      script: metadata.script,
      interval: metadata.interval_seconds,
      timeout: metadata.timeout_seconds,
    },
  };
}

function defaultSource(agent: AgentRow): AgentLogSourceRow {
  return {
    agent_id: agent.id,
    id: DEFAULT_LOG_SOURCE_ID,
    display_name: "Agent",
    icon: "",
    created_at: agent.created_at,
  };
}

function contestReason(addresses: readonly string[]): string {
  return `several agents use the token of this one (from ${addresses.join(", ")}): stop all but one`;
}

function unhealthyReason(status: WorkspaceAgent["status"], lifecycle: string): string | undefined {
  if (status !== "connected" && lifecycle === "off") return "agent is not running";
  if (status === "timeout") return "agent is taking too long to connect";
  if (status === "disconnected") return "agent has lost connection";
  if (lifecycle === "start_error") return "agent startup script exited with an error";
  if (lifecycle === "shutting_down") return "agent is shutting down";
  return undefined;
}

export function agentLogView(log: AgentLogRow): AgentLog {
  return {
    id: log.id,
    created_at: formatTime(log.created_at),
    output: log.output,
    level: log.level as AgentLog["level"],
    source_id: log.source_id,
  };
}

const STATUS_OF: Readonly<Record<WorkspaceBuildRow["transition"], WorkspaceStatus>> = {
  start: "running",
  stop: "stopped",
  delete: "deleted",
};

export function buildStatus(build: WorkspaceBuildRow): WorkspaceStatus {
  return STATUS_OF[build.transition];
}

export async function buildView(
  context: RouteContext,
  workspace: WorkspaceRow,
  build: WorkspaceBuildRow,
): Promise<WorkspaceBuild> {
  const owner = await context.store.users.byIdWithDeleted(workspace.owner_id);
  const initiator = await context.store.users.byIdWithDeleted(build.initiator_id);
  const agents = build.transition === "start" ? await context.store.agents.ofWorkspace(workspace.id) : [];
  const resources: WorkspaceResource[] = [];
  for (const agent of agents) {
    resources.push({
      id: agent.resource_id,
      created_at: formatTime(build.created_at),
      job_id: build.id,
      workspace_transition: build.transition,
      type: EXTERNAL_AGENT_RESOURCE,
      name: "machine",
      hide: false,
      icon: "",
      agents: [await agentView(context, agent)],
      metadata: [],
      daily_cost: 0,
    });
  }
  return {
    id: build.id,
    created_at: formatTime(build.created_at),
    updated_at: formatTime(build.completed_at),
    workspace_id: workspace.id,
    workspace_name: workspace.name,
    workspace_owner_id: workspace.owner_id,
    workspace_owner_name: owner?.username ?? "",
    workspace_owner_avatar_url: "",
    template_version_id: context.deployment.templateVersionId,
    template_version_name: TEMPLATE_VERSION_NAME,
    build_number: build.build_number,
    transition: build.transition,
    initiator_id: build.initiator_id,
    initiator_name: initiator?.username ?? "",
    job: {
      ...completedJob(context, build.id, build.initiator_id, build.completed_at),
      input: { workspace_build_id: build.id },
    },
    reason: build.reason,
    resources,
    status: buildStatus(build),
    daily_cost: 0,
    template_version_preset_id: null,
    has_ai_task: false,
    has_external_agent: true,
  };
}

/** The one line a build has to say. */
export function buildLogView(build: WorkspaceBuildRow): BuildLog {
  const output = {
    start: "External workspace: nothing to build, its agent may connect now",
    stop: "External workspace: its agent is disconnected and refused until the workspace is started again",
    delete: "External workspace: its registration is removed, the machine itself is left as it is",
  };
  return {
    id: 1,
    created_at: formatTime(build.completed_at),
    log_source: "provisioner",
    log_level: "info",
    stage: "External workspace",
    output: output[build.transition],
  };
}

export async function workspaceView(context: RouteContext, workspace: WorkspaceRow): Promise<Workspace> {
  const owner = await context.store.users.byIdWithDeleted(workspace.owner_id);
  const build = await context.store.builds.latest(workspace.id);
  if (owner === undefined || build === undefined) throw notFound();
  const latest = await buildView(context, workspace, build);
  const failing = latest.resources.flatMap((resource) =>
    (resource.agents ?? []).filter((agent) => !agent.health.healthy).map((agent) => agent.id),
  );
  return {
    id: workspace.id,
    created_at: formatTime(workspace.created_at),
    updated_at: formatTime(workspace.updated_at),
    owner_id: workspace.owner_id,
    owner_name: owner.username,
    owner_avatar_url: "",
    organization_id: context.deployment.organizationId,
    organization_name: ORGANIZATION_NAME,
    template_id: context.deployment.templateId,
    template_name: TEMPLATE_NAME,
    template_display_name: TEMPLATE_DISPLAY_NAME,
    template_icon: TEMPLATE_ICON,
    template_allow_user_cancel_workspace_jobs: false,
    template_active_version_id: context.deployment.templateVersionId,
    template_require_active_version: false,
    template_use_classic_parameter_flow: true,
    latest_build: latest,
    latest_app_status: null,
    outdated: false,
    name: workspace.name,
    ...(workspace.autostart_schedule === null ? {} : { autostart_schedule: workspace.autostart_schedule }),
    ...(workspace.ttl_ms === null ? {} : { ttl_ms: workspace.ttl_ms }),
    last_used_at: formatTime(workspace.last_used_at),
    deleting_at: null,
    dormant_at: null,
    health: { healthy: failing.length === 0, failing_agents: failing },
    automatic_updates: "never",
    allow_renames: true,
    favorite: false,
    next_start_at: null,
    is_prebuild: false,
  };
}

function optionalTime<Name extends string>(name: Name, at: number | null): { [key in Name]?: string } {
  return (at === null ? {} : { [name]: formatTime(at) }) as { [key in Name]?: string };
}
