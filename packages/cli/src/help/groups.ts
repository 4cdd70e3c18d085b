/** First words that several commands share. */
export const TOPICS: Readonly<Record<string, string>> = {
  apps: "Declare, share and open web apps of a workspace",
  connect: "Answer the questions that the SSH configuration asks",
  deployment: "Set what holds in the whole deployment",
  "external-workspaces": "Register machines of your own as workspaces",
  login: "Log in to a deployment",
  open: "Open a workspace in VS Code, or one of its apps in the browser",
  server: "Run the control plane, back it up and restore it",
  support: "Collect information for support",
  terminals: "List and end the terminals that keep running in a workspace",
  tokens: "Create, list and remove API tokens",
  users: "Create, list, suspend and delete users",
  wsproxy: "Workspace proxies: relays near users",
};

/** The groups of the root page, which lists every command and topic once. */
export const GROUPS: readonly { readonly title: string; readonly names: readonly string[] }[] = [
  { title: "CONNECT", names: ["ssh", "terminals", "port-forward", "cp", "open", "config-ssh"] },
  {
    title: "WORKSPACES",
    names: ["list", "show", "start", "stop", "restart", "update", "rename", "delete", "external-workspaces", "apps"],
  },
  { title: "NETWORK", names: ["ping", "status", "doctor", "netcheck", "speedtest", "support"] },
  { title: "ACCOUNT", names: ["login", "logout", "whoami", "tokens"] },
  { title: "ADMINISTRATION", names: ["users", "deployment", "reset-password"] },
  { title: "RUN A DEPLOYMENT", names: ["server", "wsproxy", "agent"] },
  { title: "OTHER", names: ["completion", "connect", "update-cli", "version"] },
];
