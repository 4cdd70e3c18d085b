/**
 * The built-in organization and template, and the jobs that a deployment with provisioners would run. Fields without a meaning
 * here have the value that a plain deployment sends.
 */
import type { ShareLevel } from "coder-protocol/rest/apps";
import { NIL_UUID } from "coder-protocol/rest/common";
import type { Organization } from "coder-protocol/rest/organizations";
import type { ProvisionerJob, Template, TemplateVersion } from "coder-protocol/rest/templates";
import { EXTERNAL_AGENT_RESOURCE, type WorkspaceResource } from "coder-protocol/rest/workspaces";
import { formatTime } from "../../base/clock.ts";
import type { DeploymentIds } from "../../db/store.ts";
import { ORGANIZATION_NAME, TEMPLATE_NAME } from "../../workspaces/builtin.ts";

const ORGANIZATION_DISPLAY_NAME = "Coder";
export const TEMPLATE_DISPLAY_NAME = "External workspace";
export const TEMPLATE_VERSION_NAME = "built-in";
export const TEMPLATE_ICON = "/icon/terminal.svg";

export function organizationView(deployment: DeploymentIds): Organization {
  const created = formatTime(deployment.createdAt);
  return {
    id: deployment.organizationId,
    name: ORGANIZATION_NAME,
    display_name: ORGANIZATION_DISPLAY_NAME,
    icon: "",
    description: "",
    created_at: created,
    updated_at: created,
    is_default: true,
  };
}

export function templateView(deployment: DeploymentIds, maxShareLevel: ShareLevel): Template {
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
    max_port_share_level: maxShareLevel,
    use_classic_parameter_flow: true,
  };
}

export function templateVersionView(deployment: DeploymentIds): TemplateVersion {
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
      ...completedJob(deployment, deployment.templateVersionId, NIL_UUID, deployment.createdAt),
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

/** The resources of the version: one machine with one agent, but no agent record yet. */
export function templateResources(deployment: DeploymentIds): WorkspaceResource[] {
  return [
    {
      id: deployment.templateVersionId,
      created_at: formatTime(deployment.createdAt),
      job_id: deployment.templateVersionId,
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

export function completedJob(deployment: DeploymentIds, id: string, initiatorId: string, at: number): ProvisionerJob {
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
    organization_id: deployment.organizationId,
    initiator_id: initiatorId,
    input: {},
    type: "workspace_build",
    metadata: {
      template_version_name: TEMPLATE_VERSION_NAME,
      template_id: deployment.templateId,
      template_name: TEMPLATE_NAME,
      template_display_name: TEMPLATE_DISPLAY_NAME,
      template_icon: TEMPLATE_ICON,
    },
  };
}
