import type { ComponentType } from "preact";
import type { PageName } from "../router/routes.ts";
import type { PageProps } from "./page-props.ts";
import { Workspaces } from "./workspaces.tsx";

/**
 * The first page that most visits show is in the entry, with what it shares with the others, so that it needs one script and is
 * drawn at once.
 */
export const IN_ENTRY: ReadonlyMap<PageName, ComponentType<PageProps>> = new Map([["workspaces", Workspaces]]);

/** Each other page is a separate chunk, which `build/routes-file.ts` finds by its file name. */
export const PAGES: Readonly<Record<PageName, () => Promise<ComponentType<PageProps>>>> = {
  setup: () => import("./setup.tsx").then(({ Setup }) => Setup),
  login: () => import("./login.tsx").then(({ Login }) => Login),
  workspaces: async () => Workspaces,
  create: () => import("./create.tsx").then(({ Create }) => Create),
  workspace: () => import("./workspace.tsx").then(({ WorkspacePage }) => WorkspacePage),
  "workspace-settings": () => import("./workspace-settings.tsx").then(({ WorkspaceSettings }) => WorkspaceSettings),
  terminal: () => import("./terminal.tsx").then(({ Terminal }) => Terminal),
  account: () => import("./account.tsx").then(({ Account }) => Account),
  sessions: () => import("./sessions.tsx").then(({ Sessions }) => Sessions),
  tokens: () => import("./tokens.tsx").then(({ Tokens }) => Tokens),
  appearance: () => import("./appearance.tsx").then(({ Appearance }) => Appearance),
  users: () => import("./users.tsx").then(({ Users }) => Users),
  user: () => import("./user.tsx").then(({ UserPage }) => UserPage),
  health: () => import("./health.tsx").then(({ Health }) => Health),
  deployment: () => import("./deployment.tsx").then(({ Deployment }) => Deployment),
  network: () => import("./network.tsx").then(({ Network }) => Network),
  proxies: () => import("./proxies.tsx").then(({ Proxies }) => Proxies),
  shares: () => import("./shares.tsx").then(({ Shares }) => Shares),
  connections: () => import("./connections.tsx").then(({ Connections }) => Connections),
};
