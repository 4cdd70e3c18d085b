/** Which clients may connect, as the deployment's owners decide for it, for users and for workspaces. */
import type { BrowserOnlyRule, ConnectionPolicy, DeploymentPolicy } from "coder-protocol/rest/connection-policy";
import type { User } from "coder-protocol/rest/users";
import type { Workspace } from "coder-protocol/rest/workspaces";
import { call } from "./client.ts";

export const deploymentPolicy = (signal: AbortSignal) =>
  call<DeploymentPolicy>("GET", "/deployment/connection-policy", { signal });

export const setDeploymentPolicy = (rule: BrowserOnlyRule) =>
  call<DeploymentPolicy>("PUT", "/deployment/connection-policy", { body: { browser_only: rule } });

export const setUserPolicy = (user: string, policy: ConnectionPolicy) =>
  call<User>("PUT", `/users/${user}/connection-policy`, { body: { policy } });

export const setWorkspacePolicy = (workspace: string, policy: ConnectionPolicy) =>
  call<Workspace>("PUT", `/workspaces/${workspace}/connection-policy`, { body: { policy } });
