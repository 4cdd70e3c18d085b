import { z } from "zod";
import { timestamp, uuid } from "./common.ts";

export const jobStatus = z.enum(["pending", "running", "succeeded", "canceling", "canceled", "failed", "unknown"]);
export type JobStatus = z.infer<typeof jobStatus>;

/** Without `completed_at` the CLI follows the build log. */
export const provisionerJob = z.object({
  id: uuid,
  created_at: timestamp,
  started_at: timestamp.optional(),
  completed_at: timestamp.optional(),
  canceled_at: timestamp.optional(),
  error: z.string().optional(),
  error_code: z.string().optional(),
  status: jobStatus,
  worker_id: uuid.optional(),
  file_id: uuid,
  tags: z.record(z.string(), z.string()),
  queue_position: z.number().int(),
  queue_size: z.number().int(),
  organization_id: uuid,
  initiator_id: uuid.optional(),
  input: z.record(z.string(), z.unknown()),
  type: z.string(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  logs_overflowed: z.boolean().optional(),
});
export type ProvisionerJob = z.infer<typeof provisionerJob>;

export const minimalUser = z.object({
  id: uuid,
  username: z.string(),
  name: z.string().optional(),
  avatar_url: z.string().optional(),
});

export const template = z.object({
  id: uuid,
  created_at: timestamp,
  updated_at: timestamp,
  organization_id: uuid,
  organization_name: z.string(),
  organization_display_name: z.string(),
  organization_icon: z.string(),
  name: z.string(),
  display_name: z.string(),
  provisioner: z.string(),
  active_version_id: uuid,
  active_user_count: z.number().int(),
  build_time_stats: z.record(z.string(), z.unknown()),
  description: z.string(),
  deprecated: z.boolean(),
  deprecation_message: z.string(),
  deleted: z.boolean(),
  icon: z.string(),
  default_ttl_ms: z.number(),
  activity_bump_ms: z.number(),
  autostop_requirement: z.object({ days_of_week: z.array(z.string()), weeks: z.number() }),
  autostart_requirement: z.object({ days_of_week: z.array(z.string()) }),
  created_by_id: uuid,
  created_by_name: z.string(),
  allow_user_autostart: z.boolean(),
  allow_user_autostop: z.boolean(),
  allow_user_cancel_workspace_jobs: z.boolean(),
  failure_ttl_ms: z.number(),
  time_til_dormant_ms: z.number(),
  time_til_dormant_autodelete_ms: z.number(),
  require_active_version: z.boolean(),
  max_port_share_level: z.string(),
  use_classic_parameter_flow: z.boolean(),
});
export type Template = z.infer<typeof template>;

export const templates = z.array(template);

export const templateVersion = z.object({
  id: uuid,
  template_id: uuid.optional(),
  organization_id: uuid,
  created_at: timestamp,
  updated_at: timestamp,
  name: z.string(),
  message: z.string(),
  job: provisionerJob,
  readme: z.string(),
  created_by: minimalUser,
  archived: z.boolean(),
  warnings: z.array(z.string()),
  has_external_agent: z.boolean().optional(),
});
export type TemplateVersion = z.infer<typeof templateVersion>;
