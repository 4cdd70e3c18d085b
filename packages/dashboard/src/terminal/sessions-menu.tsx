import type { AgentTerminal } from "coder-protocol/rest/terminals";
import type { JSX } from "preact";
import { endTerminal } from "../api/terminals.ts";
import { useTerminals } from "../live/sources.ts";
import { user } from "../session/session.ts";
import { Dialog } from "../ui/dialog.tsx";
import { useWork } from "../ui/form.tsx";
import { Problem } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";

export interface SessionsMenuProps {
  readonly agentId: string;
  readonly onOpen: (id: string, title: string) => void;
  readonly onClose: () => void;
}

/** Running terminals of the workspace, whether or not they are shown anywhere. */
export function SessionsMenu({ agentId, onOpen, onClose }: SessionsMenuProps): JSX.Element {
  const found = useTerminals(agentId);
  const work = useWork();
  const end = (id: string): void =>
    work.run(async () => {
      await endTerminal(agentId, id);
      found.reload();
    });
  const value = found.data.value;
  const error = work.error ?? (value === undefined ? found.error.value : undefined);
  return (
    <Dialog title="Running sessions" onCancel={onClose}>
      {error === undefined ? null : <Problem error={error} />}
      {value === undefined && error === undefined ? <p class="quiet">Asking the agent…</p> : null}
      {value?.reachable === false ? (
        <p class="quiet">The workspace does not answer. The list comes when it does.</p>
      ) : null}
      {value?.supported === false ? <p class="quiet">This workspace's agent does not list its terminals.</p> : null}
      {value?.supported === true && value.reachable && value.terminals.length === 0 ? (
        <p class="quiet">No terminal is running.</p>
      ) : null}
      {value === undefined || value.terminals.length === 0 ? null : (
        <Sessions list={value.terminals} busy={work.running} onOpen={onOpen} onEnd={end} />
      )}
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

function Sessions({
  list,
  busy,
  onOpen,
  onEnd,
}: {
  readonly list: readonly AgentTerminal[];
  readonly busy: boolean;
  readonly onOpen: SessionsMenuProps["onOpen"];
  readonly onEnd: (id: string) => void;
}): JSX.Element {
  return (
    <table class="list compact">
      <thead>
        <tr>
          <th scope="col">Session</th>
          <th scope="col">Since</th>
          <th scope="col">Viewers</th>
          <th scope="col">
            <span class="hidden">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {list.map((one) => {
          const name = nameOf(one);
          return (
            <tr key={one.id}>
              <th scope="row">
                {name}
                {one.command === "" || one.command === name ? null : <span class="quiet"> {one.command}</span>}
              </th>
              <td data-label="Since">
                <Time at={one.started_at} />
              </td>
              <td data-label="Viewers">{viewersOf(one)}</td>
              <td>
                {one.owner === "" || one.owner === user.value?.username ? (
                  <button
                    type="button"
                    class="button small"
                    aria-label={`Open ${name} here`}
                    onClick={() => onOpen(one.id, one.title)}
                  >
                    Open here
                  </button>
                ) : null}
                <button
                  type="button"
                  class="button small"
                  disabled={busy}
                  aria-label={`End ${name}`}
                  onClick={() => onEnd(one.id)}
                >
                  End
                </button>
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function nameOf({ title, foreground, command }: AgentTerminal): string {
  return [title, foreground, command, "shell"].find((text) => text !== "")!.slice(0, 60);
}

function viewersOf({ viewers, viewer_names: names }: AgentTerminal): string {
  const known = [...new Set(names.filter((name) => name !== ""))].join(", ");
  return viewers === 0 ? "–" : known === "" ? String(viewers) : `${viewers} (${known})`;
}
