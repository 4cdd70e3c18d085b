/** Whether a connection to a workspace is left to browsers, and by whose setting. Pure. */
import type { BrowserOnlyBy, ConnectionPolicy } from "coder-protocol/rest/connection-policy";

/** Of the deployment: `default` may be lifted for a workspace, `enforced` may not. */
export type BrowserOnlySetting = "off" | "default" | "enforced";

export interface PoliciesInForce {
  readonly deployment: BrowserOnlySetting;
  /** Of the user that connects. */
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
