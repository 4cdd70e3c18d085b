import type { ApplicationsHost } from "coder-protocol/rest/apps";
import type { AddWorkspaceAppRequest, AgentApp, ChangeWorkspaceAppRequest } from "coder-protocol/rest/workspace-apps";
import { call } from "./client.ts";

/** The host names of apps, in which `*` stands for an app's label; empty when this deployment serves no apps. */
export const applicationsHost = (signal: AbortSignal) =>
  call<ApplicationsHost>("GET", "/applications/host", { signal });

export const addApp = (workspace: string, app: AddWorkspaceAppRequest) =>
  call<AgentApp>("POST", `/workspaces/${workspace}/apps`, { body: app });

export const changeApp = (workspace: string, slug: string, change: ChangeWorkspaceAppRequest) =>
  call<AgentApp>("PATCH", `/workspaces/${workspace}/apps/${encodeURIComponent(slug)}`, { body: change });

export const removeApp = (workspace: string, slug: string) =>
  call<void>("DELETE", `/workspaces/${workspace}/apps/${encodeURIComponent(slug)}`);
