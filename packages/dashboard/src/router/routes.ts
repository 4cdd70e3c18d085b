/**
 * Every page and its addresses. The build writes this table to routes.json: the server answers 404 for an address that matches no
 * row, and names a page's code to the browser before the page requests it.
 */

export type PageName =
  | "setup"
  | "login"
  | "workspaces"
  | "create"
  | "workspace"
  | "workspace-settings"
  | "terminal"
  | "account"
  | "sessions"
  | "tokens"
  | "appearance"
  | "users"
  | "user"
  | "health"
  | "deployment"
  | "network"
  | "proxies"
  | "shares"
  | "connections";

export interface Route {
  /** A regular expression whose named groups are the page's parameters. */
  readonly pattern: string;
  readonly page: PageName;
  /** Title of the tab, in front of the product's name. */
  readonly title: string;
  /** The page is shown without a login. */
  readonly open?: true;
}

const NAME = "[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*";
/** Some editors write the `@` of a link as %40. */
const WORKSPACE = `/(?:@|%40)(?<owner>${NAME})/(?<workspace>${NAME})`;

export const ROUTES: readonly Route[] = [
  { pattern: "^/setup$", page: "setup", title: "Set up", open: true },
  { pattern: "^/login$", page: "login", title: "Log in", open: true },
  { pattern: "^/(?:workspaces)?$", page: "workspaces", title: "Workspaces" },
  { pattern: "^/workspaces/new$", page: "create", title: "Add a machine" },
  { pattern: "^/settings(?:/account)?$", page: "account", title: "Account" },
  { pattern: "^/settings/security$", page: "sessions", title: "Sessions" },
  { pattern: "^/settings/tokens$", page: "tokens", title: "Tokens" },
  { pattern: "^/settings/appearance$", page: "appearance", title: "Appearance" },
  { pattern: "^/users$", page: "users", title: "Users" },
  { pattern: `^/users/(?<username>${NAME})$`, page: "user", title: "User" },
  { pattern: "^/health$", page: "health", title: "Health" },
  { pattern: "^/deployment(?:/overview)?$", page: "deployment", title: "Deployment" },
  { pattern: "^/deployment/network$", page: "network", title: "Network" },
  { pattern: "^/deployment/proxies$", page: "proxies", title: "Workspace proxies" },
  { pattern: "^/deployment/shares$", page: "shares", title: "Shares" },
  { pattern: "^/deployment/connections$", page: "connections", title: "Connections" },
  { pattern: `^${WORKSPACE}(?:\\.(?<agent>${NAME}))?/terminal$`, page: "terminal", title: "Terminal" },
  { pattern: `^${WORKSPACE}/settings$`, page: "workspace-settings", title: "Workspace settings" },
  { pattern: `^${WORKSPACE}$`, page: "workspace", title: "Workspace" },
];

export interface Match {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

const COMPILED = ROUTES.map((route) => ({ route, expression: new RegExp(route.pattern) }));

/** Undefined when no page has this address. A slash at the end is ignored. */
export function matchRoute(pathname: string): Match | undefined {
  const path = pathname.replace(/(?<=[^/])\/$/, "");
  for (const { route, expression } of COMPILED) {
    const found = expression.exec(path);
    if (found === null) continue;
    const params: Record<string, string> = {};
    for (const [name, value] of Object.entries(found.groups ?? {})) if (value !== undefined) params[name] = value;
    return { route, params };
  }
  return undefined;
}
