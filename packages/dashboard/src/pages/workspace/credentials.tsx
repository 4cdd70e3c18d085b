import { useSignal } from "@preact/signals";
import type { ExternalAgentCredentials, WorkspaceAgent } from "coder-protocol/rest/agents";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { agentCredentials, rotateCredentials } from "../../api/workspaces.ts";
import { ConsentButton, Dialog } from "../../ui/dialog.tsx";
import { useWork } from "../../ui/form.tsx";
import { Problem } from "../../ui/problem.tsx";
import { StartCommand } from "./start-command.tsx";

/** The command that starts the agent, and a new token for it. */
export function Credentials({
  workspace,
  agent,
}: {
  readonly workspace: Workspace;
  readonly agent: WorkspaceAgent;
}): JSX.Element {
  const work = useWork();
  const shown = useSignal<ExternalAgentCredentials | undefined>(undefined);
  const asking = useSignal(false);
  const load = (): void => {
    if (shown.value === undefined)
      work.run(async () => {
        shown.value = await agentCredentials(workspace.id, agent.name);
      });
  };
  return (
    <details onToggle={(event) => event.currentTarget.open && load()}>
      <summary>Command that starts this agent</summary>
      {work.error === undefined ? null : <Problem error={work.error} />}
      {shown.value === undefined ? null : (
        <>
          <StartCommand credentials={shown.value} agent={agent} label="Command that starts the agent" />
          <p class="quiet small-text">It holds the agent's token. Replace the token when somebody else has seen it.</p>
          <button
            type="button"
            class="button"
            disabled={work.running}
            onClick={() => {
              asking.value = true;
            }}
          >
            Replace the token
          </button>
        </>
      )}
      {asking.value ? (
        <Dialog
          title="Replace the token?"
          onCancel={() => {
            asking.value = false;
          }}
        >
          <p>
            The agent of {workspace.name} is disconnected and stays out until it is started with the new command. Open
            sessions end.
          </p>
          <div class="actions">
            <button
              type="button"
              class="button"
              onClick={() => {
                asking.value = false;
              }}
            >
              Cancel
            </button>
            <ConsentButton
              danger
              onAgree={() => {
                asking.value = false;
                work.run(async () => {
                  shown.value = await rotateCredentials(workspace.id, agent.name);
                });
              }}
            >
              Replace it
            </ConsentButton>
          </div>
        </Dialog>
      ) : null}
    </details>
  );
}
