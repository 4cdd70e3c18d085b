/** The workspace proxies of the deployment, as its owners administer them. */
import type {
  PatchWorkspaceProxyRequest,
  UpdateWorkspaceProxyResponse,
  WorkspaceProxiesResponse,
} from "coder-protocol/rest/workspace-proxies";
import { call } from "./client.ts";

/** The primary first. */
export const listProxies = async (signal: AbortSignal) =>
  (await call<WorkspaceProxiesResponse>("GET", "/workspaceproxies", { signal })).regions;

export const createProxy = (request: { name: string; display_name: string }) =>
  call<UpdateWorkspaceProxyResponse>("POST", "/workspaceproxies", { body: request });

/** Empty and missing fields leave the proxy unchanged, but an empty wildcard host name clears it. */
export const editProxy = (id: string, change: PatchWorkspaceProxyRequest) =>
  call<UpdateWorkspaceProxyResponse>("PATCH", `/workspaceproxies/${id}`, { body: change });

export const deleteProxy = (id: string) => call<unknown>("DELETE", `/workspaceproxies/${id}`);
