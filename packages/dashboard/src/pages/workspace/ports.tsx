import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { useListeningPorts } from "../../live/sources.ts";
import { CopyButton } from "../../ui/copy.tsx";

/** Ports that programs of the workspace listen on. */
export function Ports({
  workspace,
  agentId,
}: {
  readonly workspace: Workspace;
  readonly agentId: string;
}): JSX.Element {
  const found = useListeningPorts(agentId).data.value;
  return (
    <section>
      <h3>Open ports</h3>
      {found === undefined ? <p class="quiet">Asking the agent…</p> : null}
      {found !== undefined && found.ports.length === 0 ? (
        <p class="quiet">No program of this workspace listens on a port.</p>
      ) : null}
      {found === undefined || found.ports.length === 0 ? null : (
        <table class="list compact">
          <thead>
            <tr>
              <th scope="col">Port</th>
              <th scope="col">Program</th>
              <th scope="col">
                <span class="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {found.ports.map(({ port, network, process_name: program }) => (
              <tr key={`${network}${port}`}>
                <th scope="row">{port}</th>
                <td data-label="Program">{program === "" ? "–" : program}</td>
                <td class="row-actions">
                  <CopyButton text={`coder port-forward ${workspace.name} --tcp ${port}`} label="Copy forward" />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
