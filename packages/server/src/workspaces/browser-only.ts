/** Decides whether only browsers may connect to a workspace, and by whose setting. Pure. */
import type { BrowserOnlyBy, BrowserOnlyRule, ConnectionPolicy } from "coder-protocol/rest/connection-policy";

export interface PoliciesInForce {
  readonly deployment: BrowserOnlyRule;
  /** The policy of the connecting user. */
  readonly user: ConnectionPolicy;
  readonly workspace: ConnectionPolicy;
}

const BY_STRICTNESS: readonly BrowserOnlyRule[] = ["off", "default", "enforced"];

/** Returns which of two rules of a deployment applies: the stricter one. */
export function stricter(a: BrowserOnlyRule, b: BrowserOnlyRule): BrowserOnlyRule {
  return BY_STRICTNESS.indexOf(a) > BY_STRICTNESS.indexOf(b) ? a : b;
}

/** Undefined: any client may connect. */
export function browserOnlyBy({ deployment, user, workspace }: PoliciesInForce): BrowserOnlyBy | undefined {
  if (deployment === "enforced") return "deployment";
  if (user === "browser_only") return "user";
  if (workspace === "browser_only") return "workspace";
  return deployment === "default" && workspace !== "any" ? "deployment" : undefined;
}
