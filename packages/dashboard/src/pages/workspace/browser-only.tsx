/** What is shown about a workspace that only web browsers may use. */
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { BrowserOnlyBy } from "coder-protocol/rest/connection-policy";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { user } from "../../session/session.ts";
import { State } from "../../ui/state.tsx";
import { ConnectLines } from "./connect-lines.tsx";

const REASONS: Readonly<Record<BrowserOnlyBy, string>> = {
  deployment: "by your administrator, for this deployment",
  user: "by your administrator, for your account",
  workspace: "by your administrator, for this workspace",
};

/** Whose setting makes this workspace browser-only for the user of this page. */
export function browserOnlyBy(workspace: Workspace): BrowserOnlyBy | undefined {
  if (user.value?.connection_policy === "browser_only" && workspace.browser_only_by !== "deployment") return "user";
  // A policy of the owner's account does not apply to other users.
  if (workspace.browser_only_by === "user" && workspace.owner_id !== user.value?.id) return undefined;
  return workspace.browser_only_by;
}

/** Command lines for other machines, or the reason why there are none. */
export function HowToConnect(props: { readonly workspace: Workspace; readonly agent: WorkspaceAgent }): JSX.Element {
  const by = browserOnlyBy(props.workspace);
  if (by === undefined) return <ConnectLines {...props} />;
  return (
    <section>
      <h3>Connect</h3>
      <p class="facts">
        <State tone="warn">Browser only</State>
        <span class="quiet">{REASONS[by]}</span>
      </p>
      <p class="quiet small-text">
        Use the terminal, apps and ports on these pages. SSH, VS Code and port forwarding are refused.
      </p>
    </section>
  );
}
