/** What a visitor is answered while the agent of an app is not connected. */
import type { Visitor } from "./decision.ts";
import type { AppAnswer } from "./pages.ts";
import type { ResolvedApp } from "./resolver.ts";

/** To anyone but the owner nothing is said about the workspace but that it cannot be reached. */
export function notRunning({ owner, state, workspace, agent }: ResolvedApp, visitor: Visitor | undefined): AppAnswer {
  const owns = visitor?.userId === owner.id;
  if (state === "stopped") {
    const next = owns ? `Start it with: coder start ${workspace.name}` : "Ask its owner to start it.";
    return { status: 503, title: "Workspace Stopped", text: `The workspace is stopped. ${next}` };
  }
  const last = agent.last_connected_at;
  const seen = owns && last !== null ? ` It was last connected at ${new Date(last).toISOString()}.` : "";
  const next = owns ? " Start it on the workspace's machine with: coder agent" : "";
  return {
    status: 502,
    title: "Workspace Offline",
    text: `The agent of the workspace is not connected.${seen}${next}`,
  };
}
