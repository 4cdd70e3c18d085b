/** Positional words that several commands take. */
import { word } from "./kinds.ts";

export const WORKSPACE_WORD = { workspace: word({ required: true, description: "[owner/]workspace" }) };
export const AGENT_WORD = { workspace: word({ required: true, description: "[owner/]workspace[.agent]" }) };
export const CONNECTION_POLICY_WORD = {
  policy: word({ required: true, description: "inherit, any or browser-only" }),
};
export const BROWSER_ONLY_WORD = { rule: word({ required: true, description: "off, default or enforced" }) };
export const APP_WORD = { app: word({ required: true, description: "its name in addresses" }) };
export const USER_WORD = { user: word({ required: true, description: "User name or id" }) };
