import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { sshConfig } from "../../api/workspaces.ts";
import { useResource } from "../../live/resource.ts";
import { user } from "../../session/session.ts";
import { CommandLine } from "../../ui/copy.tsx";
import { agentsOf } from "../agents-of.ts";

/** Command lines that reach this agent from another machine, with the host names of this deployment. */
export function ConnectLines({
  workspace,
  agent,
}: {
  readonly workspace: Workspace;
  readonly agent: WorkspaceAgent;
}): JSX.Element {
  const ssh = useResource("ssh-config", { load: sshConfig }).data.value;
  const owner = workspace.owner_id === user.value?.id ? "" : `${workspace.owner_name}/`;
  const suffix = agentsOf(workspace).length > 1 ? `.${agent.name}` : "";
  const name = `${owner}${workspace.name}${suffix}`;
  const host = `${ssh?.hostname_prefix ?? "coder."}${owner.replace("/", "--")}${workspace.name}${suffix}`;
  const lines: readonly (readonly [string, string])[] = [
    ["Shell", `coder ssh ${name}`],
    ["Any SSH client, after coder config-ssh", `ssh ${host}`],
    ["VS Code", `code --remote ssh-remote+${host} ${agent.expanded_directory ?? "/"}`],
    ["A port of the workspace here", `coder port-forward ${name} --tcp 8080`],
  ];
  return (
    <section>
      <h3>Connect</h3>
      {lines.map(([label, line]) => (
        <div key={label} class="labelled">
          <p class="quiet small-text">{label}</p>
          <CommandLine text={line} label={label} />
        </div>
      ))}
      <p class="quiet small-text">
        JetBrains: choose the host <code>{host}</code> in Gateway's SSH connections.
      </p>
    </section>
  );
}
