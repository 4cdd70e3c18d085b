/** Which clients may connect to workspaces: any, or web browsers only. */
import { z } from "zod";

/** The policy of a user or a workspace. `any` on a workspace lifts the deployment's default, and nothing else. */
export const connectionPolicy = z.enum(["inherit", "any", "browser_only"]);
export type ConnectionPolicy = z.infer<typeof connectionPolicy>;

/** Whose setting limits connections to browsers. */
export const browserOnlyBy = z.enum(["deployment", "user", "workspace"]);
export type BrowserOnlyBy = z.infer<typeof browserOnlyBy>;

/** Of a deployment: `default` leaves workspaces to browsers that are not exempt by `any`, `enforced` all of them. */
export const browserOnlyRule = z.enum(["off", "default", "enforced"]);
export type BrowserOnlyRule = z.infer<typeof browserOnlyRule>;

export const deploymentPolicyRequest = z.object({ browser_only: browserOnlyRule });
export type DeploymentPolicyRequest = z.infer<typeof deploymentPolicyRequest>;

export const deploymentPolicy = z.object({
  /** What holds: the stricter of the other two. */
  browser_only: browserOnlyRule,
  /** As owners set it over the API. */
  set: browserOnlyRule,
  /** As the server that answers was started: `--browser-only`. */
  started_with: browserOnlyRule,
});
export type DeploymentPolicy = z.infer<typeof deploymentPolicy>;

export const connectionPolicyRequest = z.object({ policy: connectionPolicy });
/** Fields that are left out stay as they are. */
export const workspacePolicyRequest = z.object({
  policy: connectionPolicy.optional(),
  require_e2e: z.boolean().optional(),
});
export type WorkspacePolicyRequest = z.infer<typeof workspacePolicyRequest>;
export type ConnectionPolicyRequest = z.infer<typeof connectionPolicyRequest>;
