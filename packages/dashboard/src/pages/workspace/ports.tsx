import { useSignal } from "@preact/signals";
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { PortShare } from "coder-protocol/rest/apps";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { sharePort } from "../../api/workspaces.ts";
import { useOpenPorts } from "../../live/sources.ts";
import { CopyButton } from "../../ui/copy.tsx";
import { useWork } from "../../ui/form.tsx";
import { Problem } from "../../ui/problem.tsx";
import { State } from "../../ui/state.tsx";
import { Time } from "../../ui/time.tsx";
import { LEVEL_WORDS } from "../share-levels.ts";
import { type PortRow, portRows } from "./port-rows.ts";
import type { ChosenShare } from "./share-choice.ts";
import { ShareDialog } from "./share-dialog.tsx";

/** Ports that programs of the workspace listen on, and those that are shared. */
export function Ports({
  workspace,
  agent,
}: {
  readonly workspace: Workspace;
  readonly agent: WorkspaceAgent;
}): JSX.Element {
  const found = useOpenPorts(workspace.id, agent).data.value;
  const sharing = useSignal<PortRow | undefined>(undefined);
  const work = useWork();
  const rows = found === undefined ? [] : portRows(found);
  const change = (port: number, chosen: ChosenShare): void =>
    work.run(async () => {
      await sharePort(workspace.id, { agent_name: agent.name, port, ...chosen });
      sharing.value = undefined;
    });
  return (
    <section>
      <h3>Open ports</h3>
      {found === undefined ? <p class="quiet">Asking the agent…</p> : null}
      {found !== undefined && rows.length === 0 ? (
        <p class="quiet">No program of this workspace listens on a port.</p>
      ) : null}
      {work.error === undefined ? null : <Problem error={work.error} />}
      {rows.length === 0 ? null : (
        <table class="list compact">
          <thead>
            <tr>
              <th scope="col">Port</th>
              <th scope="col">Program</th>
              <th scope="col">Shared with</th>
              <th scope="col">
                <span class="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.port}>
                <th scope="row">{row.port}</th>
                <td data-label="Program">{row.listening ? row.program || "–" : <State tone="idle">Closed</State>}</td>
                <td data-label="Shared with">
                  <Shared share={row.share} />
                </td>
                <td class="row-actions">
                  <CopyButton text={`coder port-forward ${workspace.name} --tcp ${row.port}`} label="Copy forward" />
                  <button
                    type="button"
                    class="button small"
                    aria-label={`Share port ${row.port}`}
                    onClick={() => {
                      sharing.value = row;
                    }}
                  >
                    Share
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {sharing.value === undefined ? null : (
        <ShareDialog
          row={sharing.value}
          busy={work.running}
          onCancel={() => {
            sharing.value = undefined;
          }}
          onShare={change}
        />
      )}
    </section>
  );
}

function Shared({ share }: { readonly share: PortShare | undefined }): JSX.Element {
  if (share === undefined) return <span class="quiet">Only you</span>;
  return (
    <>
      {LEVEL_WORDS[share.share_level]}
      {share.label === "" ? null : ` · ${share.label}`}
      {share.expires_at === null ? null : (
        <>
          {" · ends "}
          <Time at={share.expires_at} />
        </>
      )}
    </>
  );
}
