import { z } from "zod";
import { externalAddressProblem, iconProblem, parseLocalAddress } from "../app-addresses.ts";
import { appChoices, shareLevel } from "./apps.ts";
import { MAX_NAME_LENGTH, uuid } from "./common.ts";

export const MAX_APPS_PER_AGENT = 64;
/** Limit of the body of PUT /workspaceagents/me/apps. */
export const MAX_AGENT_APPS_BYTES = 64 * 1024;
const MAX_URL = 2048;
const MAX_COMMAND = 4096;
const MAX_LABEL = 64;
const MAX_TOOLTIP = 512;
const MAX_INTERVAL_SECONDS = 86_400;
const MAX_THRESHOLD = 1000;

export const appHealth = z.enum(["disabled", "initializing", "healthy", "unhealthy"]);
export type AppHealth = z.infer<typeof appHealth>;

/** Names an app within its workspace. A text that reads as a port is not allowed. */
export const appSlug = z
  .string()
  .max(MAX_NAME_LENGTH, `must have at most ${MAX_NAME_LENGTH} characters`)
  .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, "must consist of lower-case letters, digits and single hyphens between them")
  .regex(/^(?![0-9]{1,5}s?$)/, "must not read as a port");

const healthcheck = z.object({
  /** Empty if the app is not checked. */
  url: z.string().max(MAX_URL).default(""),
  /** Seconds between two checks. */
  interval: z.number().int().min(0).max(MAX_INTERVAL_SECONDS).default(0),
  /** Failures in a row after which the app is unhealthy. */
  threshold: z.number().int().min(0).max(MAX_THRESHOLD).default(0),
});
export type AppHealthcheck = z.infer<typeof healthcheck>;

/** Fields that may be changed later. */
const fields = {
  /** Empty to show the slug. */
  display_name: z.string().max(MAX_LABEL),
  icon: z.string(),
  url: z.string().max(MAX_URL),
  external: z.boolean(),
  command: z.string().max(MAX_COMMAND),
  subdomain: z.boolean(),
  sharing_level: shareLevel,
  healthcheck,
  group: z.string().max(MAX_LABEL),
  hidden: z.boolean(),
  open_in: z.enum(["tab", "slim-window"]),
  tooltip: z.string().max(MAX_TOOLTIP),
  /** What the program gets for `Host`: the name of the app's host, or localhost. */
  host_header: z.enum(["preserve", "localhost"]),
  ...appChoices,
};

const appFields = z.object({
  slug: appSlug,
  display_name: fields.display_name.default(""),
  icon: fields.icon.default(""),
  url: fields.url.default(""),
  external: fields.external.default(false),
  command: fields.command.default(""),
  subdomain: fields.subdomain.default(true),
  sharing_level: fields.sharing_level.default("owner"),
  healthcheck: fields.healthcheck.default({ url: "", interval: 0, threshold: 0 }),
  group: fields.group.default(""),
  hidden: fields.hidden.default(false),
  open_in: fields.open_in.default("slim-window"),
  tooltip: fields.tooltip.default(""),
  host_header: fields.host_header.default("preserve"),
  cors: fields.cors.default("simple"),
  cors_origins: fields.cors_origins.default([]),
  also: fields.also.default([]),
  identity_headers: fields.identity_headers.default(false),
});
export type NewWorkspaceApp = z.infer<typeof appFields>;

function checkApp(app: NewWorkspaceApp, context: z.RefinementCtx): void {
  const refuse = (field: string, message: string): void => {
    context.addIssue({ code: "custom", path: field.split("."), message });
  };
  if (app.url === "" && app.command === "") refuse("url", "is needed, or a command");
  if (app.url !== "" && app.command !== "") refuse("command", "excludes an url");
  if (app.url !== "") {
    const problem = app.external ? externalAddressProblem(app.url) : localProblem(app.url);
    if (problem !== undefined) refuse("url", problem);
  }
  const icon = iconProblem(app.icon);
  if (icon !== undefined) refuse("icon", icon);
  const { url, interval, threshold } = app.healthcheck;
  if (url === "") return;
  const problem = localProblem(url);
  if (problem !== undefined) refuse("healthcheck.url", problem);
  if (interval === 0) refuse("healthcheck.interval", "must be at least one second");
  if (threshold === 0) refuse("healthcheck.threshold", "must be at least one failure");
  if (app.external) refuse("healthcheck.url", "has no use for an external app");
}

function localProblem(text: string): string | undefined {
  const address = parseLocalAddress(text);
  return "error" in address ? address.error : undefined;
}

/** An app as it is declared. */
export const newWorkspaceApp = appFields.superRefine(checkApp);

/** Body of POST /workspaces/{id}/apps. Without an agent's name the app belongs to the workspace's only agent. */
export const addWorkspaceAppRequest = appFields
  .extend({ agent_name: z.string().max(MAX_NAME_LENGTH).default("") })
  .superRefine(checkApp);
export type AddWorkspaceAppRequest = z.input<typeof addWorkspaceAppRequest>;

/**
 * Body of PATCH /workspaces/{id}/apps/{slug}: fields that are left out stay. For an app that its agent declared only the level
 * changes, and `url` has to repeat the app's, since this address is what the owner approves.
 */
export const changeWorkspaceAppRequest = z.object(fields).partial();
export type ChangeWorkspaceAppRequest = z.infer<typeof changeWorkspaceAppRequest>;

/** Body of PUT /workspaceagents/me/apps: each app is checked separately, so that one mistake does not lose the others. */
export const putAgentAppsRequest = z.object({ apps: z.array(z.unknown()).max(4 * MAX_APPS_PER_AGENT) });

/** An app as clients see it. The names are Coder's; those from `host_header` on are our additions. */
export const workspaceApp = z.object({
  id: uuid,
  slug: z.string(),
  display_name: z.string(),
  icon: z.string(),
  url: z.string(),
  external: z.boolean(),
  command: z.string(),
  subdomain: z.boolean(),
  /** First label of the app's host name; empty for an app that has none. */
  subdomain_name: z.string(),
  sharing_level: shareLevel,
  /**
   * Our addition. The level that counts: narrower than `sharing_level` if an administrator has since lowered the widest level.
   */
  effective_level: shareLevel,
  healthcheck,
  health: appHealth,
  group: z.string(),
  hidden: z.boolean(),
  open_in: z.enum(["tab", "slim-window"]),
  tooltip: z.string(),
  statuses: z.array(z.unknown()),
  host_header: z.enum(["preserve", "localhost"]),
  ...appChoices,
  /** The level that the agent requests and the owner has not approved. */
  requested_level: shareLevel.optional(),
  source: z.enum(["server", "agent"]),
});
export type WorkspaceApp = z.infer<typeof workspaceApp>;

/** An app beside the name of its agent. */
export const agentApp = workspaceApp.extend({ agent_name: z.string() });
export type AgentApp = z.infer<typeof agentApp>;

/** Answer to GET /workspaces/{id}/apps. */
export const workspaceAppsResponse = z.object({ apps: z.array(agentApp) });
export type WorkspaceAppsResponse = z.infer<typeof workspaceAppsResponse>;

/** Answer to PUT /workspaceagents/me/apps. */
export const agentAppsResponse = z.object({
  apps: z.array(agentApp),
  ignored: z.array(z.object({ slug: z.string(), reason: z.string() })),
});
export type AgentAppsResponse = z.infer<typeof agentAppsResponse>;
