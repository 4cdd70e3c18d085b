/** The workspace proxies of a deployment, as its owners administer them. */
import { ClientError } from "coder-client/base/client-error";
import type { RequestOptions } from "coder-client/rest/api";
import type { Deployment } from "coder-client/rest/deployment";
import { PRIMARY_PROXY_NAME } from "coder-protocol/proxy-names";
import {
  createWorkspaceProxyRequest,
  type PatchWorkspaceProxyRequest,
  type UpdateWorkspaceProxyResponse,
  updateWorkspaceProxyResponse,
  type WorkspaceProxiesResponse,
  workspaceProxiesResponse,
} from "coder-protocol/rest/workspace-proxies";

const PATH = "/api/v2/workspaceproxies";

export interface NewProxy {
  readonly name: string;
  readonly displayName: string;
  readonly icon: string;
}

/** What is wrong with the name of a proxy, in a sentence; undefined when it may be one. */
export function proxyNameProblem(name: string): string | undefined {
  if (name === PRIMARY_PROXY_NAME || name === "me") return `The name "${name}" is reserved.`;
  const issue = createWorkspaceProxyRequest.shape.name.safeParse(name).error?.issues[0];
  return issue === undefined ? undefined : `The name of a proxy ${issue.message}.`;
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
  const body = workspaceProxiesResponse.safeParse(await deployment.call(PATH, { signal }));
  if (!body.success) throw noProxy();
  return body.data;
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

/** The token of a proxy for people: the only time that it is shown. */
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
  const made = updateWorkspaceProxyResponse.safeParse(body);
  if (!made.success) throw noProxy();
  return made.data;
}

function noProxy(): ClientError {
  return new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected workspace proxies");
}
