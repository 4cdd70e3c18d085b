/** Decides whether only browsers may connect to a workspace, and by whose setting. Pure. */
import type { BrowserOnlyBy, ConnectionPolicy } from "coder-protocol/rest/connection-policy";

/** The deployment's setting: `default` may be lifted for a workspace, `enforced` may not. */
export type BrowserOnlySetting = "off" | "default" | "enforced";

export interface PoliciesInForce {
  readonly deployment: BrowserOnlySetting;
  /** The policy of the connecting user. */
  readonly user: ConnectionPolicy;
  readonly workspace: ConnectionPolicy;
}

/** Undefined: any client may connect. */
export function browserOnlyBy({ deployment, user, workspace }: PoliciesInForce): BrowserOnlyBy | undefined {
  if (deployment === "enforced") return "deployment";
  if (user === "browser_only") return "user";
  if (workspace === "browser_only") return "workspace";
  return deployment === "default" && workspace !== "any" ? "deployment" : undefined;
}
