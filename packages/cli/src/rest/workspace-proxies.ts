/** The workspace proxies of a deployment, as its owners administer them. */
import { ClientError } from "coder-client/base/client-error";
import type { RequestOptions } from "coder-client/rest/api";
import type { Deployment } from "coder-client/rest/deployment";
import { PRIMARY_PROXY_NAME, proxyNameFault } from "coder-protocol/proxy-names";
import type {
  PatchWorkspaceProxyRequest,
  UpdateWorkspaceProxyResponse,
  WorkspaceProxiesResponse,
  WorkspaceProxy,
} from "coder-protocol/rest/workspace-proxies";

const PATH = "/api/v2/workspaceproxies";

export interface NewProxy {
  readonly name: string;
  readonly displayName: string;
  readonly icon: string;
}

/** What is wrong with the name of a proxy, in a sentence; undefined when it is valid. */
export function proxyNameProblem(name: string): string | undefined {
  if (name === PRIMARY_PROXY_NAME || name === "me") return `The name "${name}" is reserved.`;
  const fault = proxyNameFault(name);
  return fault === undefined ? undefined : `The name of a proxy ${fault}.`;
}

export async function createProxy(
  deployment: Deployment,
  { name, displayName, icon }: NewProxy,
  signal: AbortSignal,
): Promise<UpdateWorkspaceProxyResponse> {
  const body = { name, display_name: displayName, icon };
  return madeOf(await deployment.call(PATH, { method: "POST", body, signal }));
}

/** The primary first. */
export async function listProxies(deployment: Deployment, signal: AbortSignal): Promise<WorkspaceProxiesResponse> {
  const body = (await deployment.call(PATH, { signal })) as { regions?: unknown } | undefined;
  if (!Array.isArray(body?.regions)) throw noProxy();
  return { regions: body.regions.map(proxyOf) };
}

/** @param which Name or id. Empty and missing fields leave the proxy as it is, but an empty wildcard host name clears it. */
export async function editProxy(
  deployment: Deployment,
  which: string,
  change: PatchWorkspaceProxyRequest,
  signal: AbortSignal,
): Promise<UpdateWorkspaceProxyResponse> {
  return madeOf(await callProxy(deployment, which, { method: "PATCH", body: change, signal }));
}

export async function deleteProxy(deployment: Deployment, which: string, signal: AbortSignal): Promise<void> {
  await callProxy(deployment, which, { method: "DELETE", signal });
}

/** Presents the token of a proxy to people; it is shown only this once. */
export function tokenText({ proxy, proxy_token: token }: UpdateWorkspaceProxyResponse): string {
  return [
    `The proxy ${proxy.name} is started with "coder wsproxy server", which takes the token from CODER_PROXY_SESSION_TOKEN.`,
    "",
    `Token: ${token}`,
    "Save this token, it will not be shown again.",
    "",
  ].join("\n");
}

async function callProxy(deployment: Deployment, which: string, options: RequestOptions): Promise<unknown> {
  try {
    return await deployment.call(`${PATH}/${encodeURIComponent(which)}`, options);
  } catch (error) {
    if (!(error instanceof ClientError) || error.code !== "ERR_NOT_FOUND") throw error;
    throw new ClientError("ERR_NOT_FOUND", `There is no workspace proxy "${which}"`, {
      status: 404,
      detail: '"coder wsproxy list" shows them to owners',
      cause: error,
    });
  }
}

function madeOf(body: unknown): UpdateWorkspaceProxyResponse {
  if (!isRecord(body) || typeof body["proxy_token"] !== "string") throw noProxy();
  return { proxy: proxyOf(body["proxy"]), proxy_token: body["proxy_token"] };
}

/** Fields of a proxy that commands show. */
const PROXY_TEXTS = [
  "id",
  "name",
  "display_name",
  "path_app_url",
  "wildcard_hostname",
  "version",
  "created_at",
] as const;

function proxyOf(value: unknown): WorkspaceProxy {
  if (!isRecord(value) || PROXY_TEXTS.some((name) => typeof value[name] !== "string")) throw noProxy();
  const { derp_enabled: enabled, derp_only: only, status } = value;
  if (typeof enabled !== "boolean" || typeof only !== "boolean" || !isRecord(status)) throw noProxy();
  if (typeof status["status"] !== "string" || typeof status["checked_at"] !== "string") throw noProxy();
  const report = isRecord(status["report"]) ? status["report"] : {};
  const texts = { errors: textsOf(report["errors"]), warnings: textsOf(report["warnings"]) };
  return {
    ...(value as unknown as WorkspaceProxy),
    status: { ...(status as WorkspaceProxy["status"]), report: texts },
  };
}

/** Deployments written in Go send null for an empty list. */
function textsOf(value: unknown): string[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value) || value.some((text) => typeof text !== "string")) throw noProxy();
  return value as string[];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function noProxy(): ClientError {
  return new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected workspace proxies");
}
