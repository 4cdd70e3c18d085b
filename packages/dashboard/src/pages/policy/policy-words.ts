/** Words for connection policies. */
import type { ConnectionPolicy } from "coder-protocol/rest/connection-policy";

export interface PolicyOption {
  readonly policy: ConnectionPolicy;
  readonly label: string;
  readonly about: string;
}

const BROWSERS: PolicyOption = {
  policy: "browser_only",
  label: "Browsers only",
  about: "SSH, editors, port forwarding and other tunnels are refused, and running ones end within five seconds",
};

/** A user's policy `any` decides nothing, so it is shown as the first of these. */
export const USER_POLICIES: readonly PolicyOption[] = [
  {
    policy: "inherit",
    label: "Any client",
    about: "unless the deployment or a workspace admits only browsers",
  },
  { ...BROWSERS, about: `${BROWSERS.about}, in all workspaces that this user connects to` },
];

export const WORKSPACE_POLICIES: readonly PolicyOption[] = [
  { policy: "inherit", label: "As the deployment and the user", about: "this workspace decides nothing" },
  {
    policy: "any",
    label: "Exempt from the deployment's default",
    about: "any client, where the deployment runs with --browser-only=default",
  },
  BROWSERS,
];

/** The option that represents a policy. */
export function optionOf(options: readonly PolicyOption[], policy: ConnectionPolicy | undefined): ConnectionPolicy {
  return options.some((option) => option.policy === policy) && policy !== undefined ? policy : "inherit";
}

/** What the deployment decides, from the value of its option --browser-only; undefined if it decides nothing. */
export function deploymentRule(value: string | undefined): string | undefined {
  if (value === undefined || ["", "false", "no", "0"].includes(value)) return undefined;
  return value === "default"
    ? "The deployment admits only browsers, except in workspaces that are exempt (--browser-only=default)."
    : "The deployment admits only browsers (--browser-only): this setting has no effect.";
}
