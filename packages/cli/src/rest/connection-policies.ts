/** Which workspaces may be reached only from web browsers, as the owners of a deployment set it for all, for a user or for one. */
import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { findWorkspace } from "coder-client/rest/workspaces";
import { parseWorkspaceName } from "coder-protocol/names";
import type { BrowserOnlyRule, ConnectionPolicy, DeploymentPolicy } from "coder-protocol/rest/connection-policy";
import type { User } from "coder-protocol/rest/users";
import { UsageError } from "../errors/usage-error.ts";
import { callUser, userOf } from "./users.ts";

const POLICIES: Readonly<Record<string, ConnectionPolicy>> = {
  inherit: "inherit",
  any: "any",
  "browser-only": "browser_only",
  browser_only: "browser_only",
};

const RULES: readonly BrowserOnlyRule[] = ["off", "default", "enforced"];

/** Throws UsageError. */
export function readPolicy(text: string): ConnectionPolicy {
  const policy = Object.hasOwn(POLICIES, text) ? POLICIES[text] : undefined;
  if (policy === undefined) throw new UsageError(`the policy is "${text}"; it is one of: inherit, any, browser-only`);
  return policy;
}

/** Throws UsageError. */
export function readRule(text: string): BrowserOnlyRule {
  const rule = ruleOf(text);
  if (rule === undefined) throw new UsageError(`the rule is "${text}"; it is one of: ${RULES.join(", ")}`);
  return rule;
}

export async function setDeploymentPolicy(
  deployment: Deployment,
  rule: BrowserOnlyRule,
  signal: AbortSignal,
): Promise<DeploymentPolicy> {
  const path = "/api/v2/deployment/connection-policy";
  const answer = await deployment.call(path, { method: "PUT", body: { browser_only: rule }, signal });
  const fields = (answer ?? {}) as Partial<Record<keyof DeploymentPolicy, unknown>>;
  const [browser_only, set, started_with] = [fields.browser_only, fields.set, fields.started_with].map(ruleOf);
  if (browser_only !== undefined && set !== undefined && started_with !== undefined)
    return { browser_only, set, started_with };
  throw new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected the rule of the deployment");
}

function ruleOf(value: unknown): BrowserOnlyRule | undefined {
  return RULES.find((rule) => rule === value);
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
