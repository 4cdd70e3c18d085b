/** Words for connection policies. */
import type { BrowserOnlyRule, ConnectionPolicy } from "coder-protocol/rest/connection-policy";

export interface PolicyOption<Policy extends string = ConnectionPolicy> {
  readonly policy: Policy;
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
    about: "any client, where the deployment leaves only workspaces that are not exempt to browsers",
  },
  BROWSERS,
];

export const DEPLOYMENT_RULES: readonly PolicyOption<BrowserOnlyRule>[] = [
  { policy: "off", label: "Any client", about: "unless a user or a workspace is left to browsers" },
  {
    policy: "default",
    label: "Browsers only, except in exempt workspaces",
    about: `${BROWSERS.about}; the settings of a workspace exempt it`,
  },
  { policy: "enforced", label: "Browsers only, in all workspaces", about: BROWSERS.about },
];

/** The option that represents a policy. */
export function optionOf(options: readonly PolicyOption[], policy: ConnectionPolicy | undefined): ConnectionPolicy {
  return options.some((option) => option.policy === policy) && policy !== undefined ? policy : "inherit";
}

/** What the deployment decides for users and workspaces; undefined if it decides nothing. */
export function deploymentRule(rule: BrowserOnlyRule): string | undefined {
  switch (rule) {
    case "off":
      return undefined;
    case "default":
      return "The deployment admits only browsers, except in workspaces that are exempt.";
    case "enforced":
      return "The deployment admits only browsers: this setting has no effect.";
  }
}

/** What applies regardless of what owners choose for the deployment; undefined if nothing does. */
export function startedWithRule(rule: BrowserOnlyRule): string | undefined {
  switch (rule) {
    case "off":
      return undefined;
    case "default":
      return "The server runs with --browser-only=default, so “Any client” has no effect.";
    case "enforced":
      return "The server runs with --browser-only: this setting has no effect until it is started without it.";
  }
}
