/** Which clients may connect to workspaces: any, or web browsers only. */
import { z } from "zod";

/** The policy of a user or a workspace. `any` on a workspace lifts the deployment's default, and nothing else. */
export const connectionPolicy = z.enum(["inherit", "any", "browser_only"]);
export type ConnectionPolicy = z.infer<typeof connectionPolicy>;

/** Whose setting limits connections to browsers. */
export const browserOnlyBy = z.enum(["deployment", "user", "workspace"]);
export type BrowserOnlyBy = z.infer<typeof browserOnlyBy>;

export const connectionPolicyRequest = z.object({ policy: connectionPolicy });
/** Fields that are left out stay as they are. */
export const workspacePolicyRequest = z.object({
  policy: connectionPolicy.optional(),
  require_e2e: z.boolean().optional(),
});
export type WorkspacePolicyRequest = z.infer<typeof workspacePolicyRequest>;
export type ConnectionPolicyRequest = z.infer<typeof connectionPolicyRequest>;
