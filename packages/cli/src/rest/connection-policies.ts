/** Which workspaces may be reached only from web browsers, as the owners of a deployment set it for all, for a user or for one. */
import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { findWorkspace } from "coder-client/rest/workspaces";
import { parseWorkspaceName } from "coder-protocol/names";
import {
  type BrowserOnlyRule,
  browserOnlyRule,
  type ConnectionPolicy,
  type DeploymentPolicy,
  deploymentPolicy,
} from "coder-protocol/rest/connection-policy";
import type { User } from "coder-protocol/rest/users";
import { UsageError } from "../errors/usage-error.ts";
import { callUser, userOf } from "./users.ts";

const POLICIES: Readonly<Record<string, ConnectionPolicy>> = {
  inherit: "inherit",
  any: "any",
  "browser-only": "browser_only",
  browser_only: "browser_only",
};

/** Throws UsageError. */
export function readPolicy(text: string): ConnectionPolicy {
  const policy = Object.hasOwn(POLICIES, text) ? POLICIES[text] : undefined;
  if (policy === undefined) throw new UsageError(`the policy is "${text}"; it is one of: inherit, any, browser-only`);
  return policy;
}

/** Throws UsageError. */
export function readRule(text: string): BrowserOnlyRule {
  const rule = browserOnlyRule.safeParse(text);
  if (!rule.success) throw new UsageError(`the rule is "${text}"; it is one of: ${browserOnlyRule.options.join(", ")}`);
  return rule.data;
}

export async function setDeploymentPolicy(
  deployment: Deployment,
  rule: BrowserOnlyRule,
  signal: AbortSignal,
): Promise<DeploymentPolicy> {
  const body = { browser_only: rule };
  const path = "/api/v2/deployment/connection-policy";
  const stored = deploymentPolicy.safeParse(await deployment.call(path, { method: "PUT", body, signal }));
  if (stored.success) return stored.data;
  throw new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected the rule of the deployment");
}

export async function setUserPolicy(
  deployment: Deployment,
  which: string,
  policy: ConnectionPolicy,
  signal: AbortSignal,
): Promise<User> {
  return userOf(await callUser(deployment, which, "/connection-policy", { method: "PUT", body: { policy }, signal }));
}

/** Returns the name of the workspace. */
export async function setWorkspacePolicy(
  deployment: Deployment,
  which: string,
  policy: ConnectionPolicy,
  signal: AbortSignal,
): Promise<string> {
  const workspace = await findWorkspace(deployment, parseWorkspaceName(which), { signal });
  const path = `/api/v2/workspaces/${workspace.id}/connection-policy`;
  await deployment.call(path, { method: "PUT", body: { policy }, signal });
  return `${workspace.ownerName}/${workspace.name}`;
}
