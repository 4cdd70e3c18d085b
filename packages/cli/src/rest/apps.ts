/** Declared apps and shared ports of a workspace. */
import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { chooseAgent, findWorkspace, type WorkspaceRef } from "coder-client/rest/workspaces";
import { parseWorkspaceName } from "coder-protocol/names";
import type { AgentApp } from "coder-protocol/rest/workspace-apps";
import { printable } from "../base/text.ts";
import { UserError } from "../errors/user-error.ts";

/** A workspace, and the agent if its name includes one. */
export interface AppPlace {
  readonly workspace: WorkspaceRef;
  readonly agentName: string | undefined;
}

export async function findAppPlace(deployment: Deployment, name: string, signal: AbortSignal): Promise<AppPlace> {
  const parsed = parseWorkspaceName(name);
  return { workspace: await findWorkspace(deployment, parsed, { signal }), agentName: parsed.agent };
}

/** The apps of the workspace, or only those of the named agent. */
export async function listApps(
  deployment: Deployment,
  { workspace, agentName }: AppPlace,
  signal: AbortSignal,
): Promise<AgentApp[]> {
  const body = (await call(deployment, workspace, "", { signal })) as { apps?: unknown } | undefined;
  if (!Array.isArray(body?.apps) || !body.apps.every(isApp))
    throw new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected a list of apps");
  return body.apps.filter((app) => agentName === undefined || app.agent_name === agentName);
}

/** Fields of an app that commands show or use. */
const APP_TEXTS = [
  "slug",
  "display_name",
  "url",
  "command",
  "subdomain_name",
  "sharing_level",
  "health",
  "source",
  "agent_name",
] as const;

function isApp(value: unknown): value is AgentApp {
  if (typeof value !== "object" || value === null) return false;
  const app = value as Readonly<Record<string, unknown>>;
  const requested = app["requested_level"];
  return (
    APP_TEXTS.every((name) => typeof app[name] === "string") &&
    typeof app["external"] === "boolean" &&
    (requested === undefined || typeof requested === "string")
  );
}

/** Rejects with ERR_NO_APP, which lists the existing apps. */
export async function findApp(
  deployment: Deployment,
  place: AppPlace,
  slug: string,
  signal: AbortSignal,
): Promise<AgentApp> {
  const apps = await listApps(deployment, place, signal);
  return apps.find((app) => app.slug === slug) ?? noApp(place.workspace.name, slug, apps);
}

export function noApp(workspace: string, slug: string, apps: readonly { readonly slug: string }[]): never {
  throw new UserError(`Workspace "${workspace}" has no app "${printable(slug)}"`, {
    why: apps.length === 0 ? "it has no apps at all" : `it has: ${apps.map((app) => printable(app.slug)).join(", ")}`,
    next: [
      `declare it: coder apps add ${workspace} ${printable(slug)} --app-url http://127.0.0.1:8080`,
      `reach a program of it by its port: coder port-forward ${workspace} --auto`,
    ],
    code: "ERR_NO_APP",
  });
}

export async function addApp(
  deployment: Deployment,
  { workspace, agentName }: AppPlace,
  app: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<void> {
  const body = { ...app, agent_name: agentName };
  await call(deployment, workspace, "", { method: "POST", body, signal });
}

export async function changeApp(
  deployment: Deployment,
  { workspace }: AppPlace,
  slug: string,
  body: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<void> {
  await call(deployment, workspace, `/${encodeURIComponent(slug)}`, { method: "PATCH", body, signal });
}

export async function removeApp(
  deployment: Deployment,
  { workspace }: AppPlace,
  slug: string,
  signal: AbortSignal,
): Promise<void> {
  await call(deployment, workspace, `/${encodeURIComponent(slug)}`, { method: "DELETE", signal });
}

/** Gives an app the sharing level that its agent requested. The approval covers the address that was shown, not a later one. */
export async function approveApp(
  deployment: Deployment,
  place: AppPlace,
  app: AgentApp,
  signal: AbortSignal,
): Promise<void> {
  await changeApp(deployment, place, app.slug, { sharing_level: app.requested_level, url: app.url }, signal);
}

export interface PortShareRequest {
  readonly port: number;
  readonly level: string;
  readonly secure: boolean;
  /** Undefined keeps the label of an existing share. */
  readonly label: string | undefined;
  /** Undefined keeps the end of an existing share; a new one then lasts until it is removed. */
  readonly forMs: number | undefined;
}

/** Shares a port. The level "owner" ends a share. */
export async function sharePort(
  deployment: Deployment,
  { workspace, agentName }: AppPlace,
  wish: PortShareRequest,
  signal: AbortSignal,
): Promise<{ readonly agentName: string; readonly expiresAt: string | undefined }> {
  const agent = chooseAgent(workspace, agentName);
  const body = {
    agent_name: agent.name,
    port: wish.port,
    share_level: wish.level,
    protocol: wish.secure ? "https" : "http",
    label: wish.label,
    expires_at: wish.forMs === undefined ? undefined : new Date(Date.now() + wish.forMs).toISOString(),
  };
  const path = `/api/v2/workspaces/${workspace.id}/port-share`;
  const answer = (await deployment.call(path, { method: "POST", body, signal })) as { expires_at?: unknown } | null;
  const end = answer?.expires_at;
  return { agentName: agent.name, expiresAt: typeof end === "string" ? end : undefined };
}

async function call(
  deployment: Deployment,
  workspace: WorkspaceRef,
  path: string,
  options: Parameters<Deployment["call"]>[1],
): Promise<unknown> {
  return await deployment.call(`/api/v2/workspaces/${workspace.id}/apps${path}`, options);
}
