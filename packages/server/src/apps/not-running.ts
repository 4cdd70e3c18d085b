/** The answer to a visitor while the agent of an app is not connected. */
import type { Visitor } from "./decision.ts";
import type { AppAnswer } from "./pages.ts";
import type { ShownApp } from "./shown-app.ts";

/**
 * Visitors other than the owner learn only that the workspace cannot be reached. It is started from its page on the dashboard,
 * because a session of an app host is valid only for the app.
 */
export function notRunning(app: ShownApp, visitor: Visitor | undefined, accessUrl: URL): AppAnswer {
  const { owner, state, workspace, agent } = app;
  const owns = visitor?.userId === owner.id;
  const links = owns ? [{ href: workspacePage(app, accessUrl), text: "Open the workspace's page" }] : [];
  if (state === "stopped") {
    const next = owns ? `Start it on its page, or with: coder start ${workspace.name}` : "Ask its owner to start it.";
    return { status: 503, title: "Workspace Stopped", text: `The workspace is stopped. ${next}`, links };
  }
  const last = agent.last_connected_at;
  const seen = owns && last !== null ? ` It was last connected at ${new Date(last).toISOString()}.` : "";
  const next = owns ? " Start it on the workspace's machine with: coder agent" : "";
  return {
    status: 502,
    title: "Workspace Offline",
    text: `The agent of the workspace is not connected.${seen}${next}`,
    links,
  };
}

/** The page of the workspace on the dashboard. */
export function workspacePage({ owner, workspace }: Pick<ShownApp, "owner" | "workspace">, accessUrl: URL): string {
  return new URL(`/@${owner.username}/${workspace.name}`, accessUrl).href;
}
