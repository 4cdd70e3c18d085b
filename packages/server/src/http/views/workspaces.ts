import type { BrowserOnlyBy, ConnectionPolicy } from "coder-protocol/rest/connection-policy";
import {
  type BuildLog,
  EXTERNAL_AGENT_RESOURCE,
  type Workspace,
  type WorkspaceBuild,
  type WorkspaceResource,
} from "coder-protocol/rest/workspaces";
import { formatTime } from "../../base/clock.ts";
import type { WorkspaceBuildRow, WorkspaceRow } from "../../db/schema.ts";
import type { DeploymentIds } from "../../db/store.ts";
import { buildStatus } from "../../workspaces/build-status.ts";
import { ORGANIZATION_NAME, TEMPLATE_NAME } from "../../workspaces/builtin.ts";
import type { LoadedAgent, LoadedBuild, LoadedWorkspace } from "../../workspaces/loader.ts";
import { type AgentFacts, agentView } from "./agents.ts";
import { completedJob, TEMPLATE_DISPLAY_NAME, TEMPLATE_ICON, TEMPLATE_VERSION_NAME } from "./templates.ts";

/** What the views of workspaces need besides rows. */
export interface WorkspaceFacts extends AgentFacts {
  /** Whether the owner may connect from browsers only, and by whose setting. */
  readonly browserOnlyBy: (workspace: WorkspaceRow, ownerPolicy: ConnectionPolicy) => BrowserOnlyBy | undefined;
  readonly deployment: DeploymentIds;
}

export function buildView(loaded: LoadedBuild, facts: WorkspaceFacts): WorkspaceBuild {
  const { row: build, workspace } = loaded;
  const { deployment } = facts;
  const browserOnly = facts.browserOnlyBy(workspace, loaded.ownerPolicy) !== undefined;
  return {
    id: build.id,
    created_at: formatTime(build.created_at),
    updated_at: formatTime(build.completed_at),
    workspace_id: workspace.id,
    workspace_name: workspace.name,
    workspace_owner_id: workspace.owner_id,
    workspace_owner_name: loaded.ownerName,
    workspace_owner_avatar_url: "",
    template_version_id: deployment.templateVersionId,
    template_version_name: TEMPLATE_VERSION_NAME,
    build_number: build.build_number,
    transition: build.transition,
    initiator_id: build.initiator_id,
    initiator_name: loaded.initiatorName,
    job: {
      ...completedJob(deployment, build.id, build.initiator_id, build.completed_at),
      input: { workspace_build_id: build.id },
    },
    reason: build.reason,
    resources: loaded.agents.map((agent) => resourceView(loaded, agent, facts, browserOnly)),
    status: buildStatus(build),
    daily_cost: 0,
    template_version_preset_id: null,
    has_ai_task: false,
    has_external_agent: true,
  };
}

function resourceView(
  { row: build }: LoadedBuild,
  agent: LoadedAgent,
  facts: AgentFacts,
  browserOnly: boolean,
): WorkspaceResource {
  return {
    id: agent.row.resource_id,
    created_at: formatTime(build.created_at),
    job_id: build.id,
    workspace_transition: build.transition,
    type: EXTERNAL_AGENT_RESOURCE,
    name: "machine",
    hide: false,
    icon: "",
    agents: [agentView(agent, facts, browserOnly)],
    metadata: [],
    daily_cost: 0,
  };
}

/** The only line of a build's log. */
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

export function workspaceView(loaded: LoadedWorkspace, facts: WorkspaceFacts): Workspace {
  const { row: workspace } = loaded;
  const { deployment } = facts;
  const browserOnly = facts.browserOnlyBy(workspace, loaded.latestBuild.ownerPolicy);
  const latest = buildView(loaded.latestBuild, facts);
  const failing = latest.resources.flatMap((resource) =>
    (resource.agents ?? []).filter((agent) => !agent.health.healthy).map((agent) => agent.id),
  );
  return {
    id: workspace.id,
    created_at: formatTime(workspace.created_at),
    updated_at: formatTime(workspace.updated_at),
    owner_id: workspace.owner_id,
    owner_name: loaded.latestBuild.ownerName,
    owner_avatar_url: "",
    organization_id: deployment.organizationId,
    organization_name: ORGANIZATION_NAME,
    template_id: deployment.templateId,
    template_name: TEMPLATE_NAME,
    template_display_name: TEMPLATE_DISPLAY_NAME,
    template_icon: TEMPLATE_ICON,
    template_allow_user_cancel_workspace_jobs: false,
    template_active_version_id: deployment.templateVersionId,
    template_require_active_version: false,
    template_use_classic_parameter_flow: true,
    latest_build: latest,
    latest_app_status: null,
    outdated: false,
    name: workspace.name,
    autostart_schedule: workspace.autostart_schedule ?? undefined,
    ttl_ms: workspace.ttl_ms ?? undefined,
    last_used_at: formatTime(workspace.last_used_at),
    deleting_at: null,
    dormant_at: null,
    health: { healthy: failing.length === 0, failing_agents: failing },
    automatic_updates: "never",
    allow_renames: true,
    favorite: false,
    next_start_at: null,
    is_prebuild: false,
    connection_policy: workspace.connection_policy,
    require_e2e: workspace.require_e2e === 1,
    browser_only_by: browserOnly,
  };
}
