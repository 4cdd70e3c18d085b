import { z } from "zod";
import { timestamp, uuid } from "./common.ts";

export const buildInfo = z.object({
  external_url: z.string(),
  version: z.string(),
  dashboard_url: z.string(),
  telemetry: z.boolean(),
  workspace_proxy: z.boolean(),
  agent_api_version: z.string(),
  provisioner_api_version: z.string(),
  upgrade_message: z.string(),
  deployment_id: z.string(),
  webpush_public_key: z.string().optional(),
});
export type BuildInfo = z.infer<typeof buildInfo>;

export const banner = z.object({
  enabled: z.boolean(),
  message: z.string().optional(),
  background_color: z.string().optional(),
});

export const appearance = z.object({
  application_name: z.string(),
  logo_url: z.string(),
  docs_url: z.string(),
  service_banner: banner,
  announcement_banners: z.array(banner),
  support_links: z.array(z.object({ name: z.string(), target: z.string(), icon: z.string() })).optional(),
});
export type Appearance = z.infer<typeof appearance>;

export const sshConfig = z.object({
  hostname_prefix: z.string(),
  hostname_suffix: z.string().optional(),
  ssh_config_options: z.record(z.string(), z.string()),
});
export type SshConfig = z.infer<typeof sshConfig>;

export const updateCheck = z.object({ current: z.boolean(), version: z.string(), url: z.string() });
export type UpdateCheck = z.infer<typeof updateCheck>;

/** A server of the deployment, as GET /api/v2/replicas lists them. */
export const replica = z.object({
  /** Differs after each start. */
  id: z.string(),
  hostname: z.string(),
  created_at: z.string(),
  /** URL at which the other servers reach its relay; "" for none. */
  relay_address: z.string(),
  region_id: z.number(),
  /** What is wrong with it, in words; "" for nothing. */
  error: z.string(),
  /** Latency of a small query, in microseconds. */
  database_latency: z.number(),
  version: z.string(),
});
export type Replica = z.infer<typeof replica>;

export const entitlements = z.object({
  features: z.record(
    z.string(),
    z.object({
      entitlement: z.string(),
      enabled: z.boolean(),
      limit: z.number().optional(),
      actual: z.number().optional(),
    }),
  ),
  warnings: z.array(z.string()),
  errors: z.array(z.string()),
  has_license: z.boolean(),
  trial: z.boolean(),
  require_telemetry: z.boolean(),
  refreshed_at: timestamp,
});
export type Entitlements = z.infer<typeof entitlements>;

export const region = z.object({
  id: uuid,
  name: z.string(),
  display_name: z.string(),
  icon_url: z.string(),
  healthy: z.boolean(),
  path_app_url: z.string(),
  wildcard_hostname: z.string(),
  /** Our addition, requested by `?derp_only=true`: a proxy without web apps. */
  derp_only: z.boolean().optional(),
  /** Our addition: whether apps are served below paths of `path_app_url`. */
  path_apps: z.boolean().optional(),
});
export const regionsResponse = z.object({ regions: z.array(region) });
export type RegionsResponse = z.infer<typeof regionsResponse>;

export const authorizationRequest = z.object({
  checks: z
    .record(
      z.string().max(128),
      z.object({
        object: z.object({
          resource_type: z.string().max(64),
          owner_id: z.string().max(64).optional(),
          organization_id: z.string().max(64).optional(),
          resource_id: z.string().max(64).optional(),
          any_org: z.boolean().optional(),
        }),
        action: z.string().max(64),
      }),
    )
    .refine((checks) => Object.keys(checks).length <= 256, "must have at most 256 checks"),
});
export type AuthorizationRequest = z.infer<typeof authorizationRequest>;
export const authorizationResponse = z.record(z.string(), z.boolean());

export const healthSeverity = z.enum(["ok", "warning", "error"]);
export type HealthSeverity = z.infer<typeof healthSeverity>;

export const healthMessage = z.object({ code: z.string(), message: z.string() });
export type HealthMessage = z.infer<typeof healthMessage>;

const reportBase = z.object({
  error: z.string().optional(),
  severity: healthSeverity,
  warnings: z.array(healthMessage),
  dismissed: z.boolean(),
  healthy: z.boolean(),
});

export const accessUrlReport = reportBase.extend({
  access_url: z.string(),
  reachable: z.boolean(),
  status_code: z.number().int(),
  healthz_response: z.string(),
});
export const databaseReport = reportBase.extend({
  reachable: z.boolean(),
  latency: z.string(),
  latency_ms: z.number(),
  threshold_ms: z.number(),
});
export const websocketReport = reportBase.extend({ body: z.string(), code: z.number().int() });
export const derpReport = reportBase.extend({
  regions: z.record(z.string(), z.unknown()),
  netcheck: z.unknown().optional(),
  netcheck_err: z.string().optional(),
  netcheck_logs: z.array(z.string()),
});

/** Our addition: a server's report as it is stored for the others, without measurements. */
export const storedHealthReport = z.object({
  time: z.string().max(64),
  healthy: z.boolean(),
  severity: healthSeverity,
  coder_version: z.string().max(256),
  /** By their names in the report. */
  sections: z.record(
    z.string().max(64),
    z.object({
      healthy: z.boolean(),
      severity: healthSeverity,
      error: z.string().max(4_096).optional(),
      warnings: z.array(z.object({ code: z.string().max(32), message: z.string().max(4_096) })).max(64),
    }),
  ),
});
export type StoredHealthReport = z.infer<typeof storedHealthReport>;

/** Our addition: one server of the deployment in the report of any of them. */
export const replicaHealth = z.object({
  id: z.string(),
  hostname: z.string(),
  region_id: z.number(),
  version: z.string(),
  healthy: z.boolean(),
  severity: healthSeverity,
  /** Null before the first report. */
  report: storedHealthReport.nullable(),
  age_ms: z.number().nullable(),
});
export type ReplicaHealth = z.infer<typeof replicaHealth>;
export const replicasReport = reportBase.extend({ replicas: z.array(replicaHealth) });

/**
 * Our addition. The address, with its credentials, at which an external relay verifies its clients: `derper
 * --verify-client-url`.
 */
export const relayAdmission = z.object({ url: z.string() });
export type RelayAdmission = z.infer<typeof relayAdmission>;

/** Sections of the report whose warnings are dismissed. */
export const healthSettings = z.object({
  dismissed_healthchecks: z
    .array(z.enum(["DERP", "AccessURL", "Websocket", "Database", "WorkspaceProxy", "ProvisionerDaemons"]))
    .max(16),
});
export type HealthSettings = z.infer<typeof healthSettings>;

export const healthReport = z.object({
  time: timestamp,
  healthy: z.boolean(),
  severity: healthSeverity,
  derp: derpReport,
  access_url: accessUrlReport,
  websocket: websocketReport,
  database: databaseReport,
  coder_version: z.string(),
});
export type HealthReport = z.infer<typeof healthReport>;
export type DerpHealth = z.infer<typeof derpReport>;
