import { useSignal } from "@preact/signals";
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { buildWorkspace, reportUsage } from "../api/workspaces.ts";
import { visible } from "../base/words.ts";
import { useWorkspace } from "../live/sources.ts";
import { useRegions } from "../regions/use-regions.ts";
import { navigate } from "../router/location.ts";
import { localPage } from "../session/session.ts";
import { CommandLine } from "../ui/copy.tsx";
import { ConsentButton, Dialog } from "../ui/dialog.tsx";
import { useWork } from "../ui/form.tsx";
import { Icon } from "../ui/icon.tsx";
import { Problem } from "../ui/problem.tsx";
import { agentsOf } from "./agents-of.ts";
import type { PageProps } from "./page-props.ts";
import { TabbedTerminal } from "./terminal/tabbed-terminal.tsx";

const USAGE_EVERY_MS = 60_000;

export function Terminal({ params, query }: PageProps): JSX.Element {
  const { owner = "", workspace: name = "", agent: agentName } = params;
  const { data, error, reload } = useWorkspace(owner, name);
  useRegions();
  const workspace = data.value;
  const agents = workspace === undefined ? [] : agentsOf(workspace);
  const agent = agentName === undefined ? agents[0] : agents.find((one) => one.name === agentName);
  if (error.value !== undefined && workspace === undefined)
    return (
      <section class="page narrow">
        <h1>Terminal of {name}</h1>
        <Problem error={error.value} retry={reload} />
      </section>
    );
  if (workspace === undefined) return <div class="blank" aria-busy="true" />;
  if (agent === undefined) return <NoAgent workspace={workspace} agentName={agentName} />;
  return <Opened workspace={workspace} agent={agent} query={query} />;
}

function NoAgent({
  workspace,
  agentName,
}: {
  readonly workspace: Workspace;
  readonly agentName: string | undefined;
}): JSX.Element {
  const work = useWork();
  const stopped = workspace.latest_build.status === "stopped";
  return (
    <section class="page narrow">
      <h1>Terminal of {workspace.name}</h1>
      <p>
        {stopped
          ? "The workspace is stopped."
          : agentName === undefined
            ? "The workspace has no agent."
            : `The workspace has no agent “${agentName}”.`}
      </p>
      {work.error === undefined ? null : <Problem error={work.error} />}
      {localPage.value !== undefined ? (
        <CommandLine text={`coder start ${localPage.value.workspace}`} label="Command that starts the workspace" />
      ) : stopped ? (
        <button
          type="button"
          class="button primary"
          disabled={work.running}
          onClick={() =>
            work.run(async () => {
              await buildWorkspace(workspace.id, "start");
            })
          }
        >
          <Icon name="play" /> Start it
        </button>
      ) : (
        <a class="button" href={`/@${workspace.owner_name}/${workspace.name}`}>
          Go to the workspace
        </a>
      )}
    </section>
  );
}

function Opened({
  workspace,
  agent,
  query,
}: {
  readonly workspace: Workspace;
  readonly agent: WorkspaceAgent;
  readonly query: URLSearchParams;
}): JSX.Element {
  const command = query.get("command") ?? "";
  const agreed = useSignal(command === "");
  useUsage(agreed.value ? workspace.id : undefined, agent.id);
  if (agreed.value) return <TabbedTerminal workspace={workspace} agent={agent} query={query} />;
  return (
    <Consent
      command={command}
      workspace={workspace}
      onRun={() => {
        agreed.value = true;
      }}
    />
  );
}

/** Reports to the deployment that the workspace is being used. */
function useUsage(workspaceId: string | undefined, agentId: string): void {
  useEffect(() => {
    if (workspaceId === undefined) return;
    // This only counts use, so a failure does not concern the user.
    const tell = (): void => void reportUsage(workspaceId, agentId).catch(() => undefined);
    tell();
    const timer = setInterval(tell, USAGE_EVERY_MS);
    return () => clearInterval(timer);
  }, [workspaceId, agentId]);
}

function Consent({
  command,
  workspace,
  onRun,
}: {
  readonly command: string;
  readonly workspace: Workspace;
  readonly onRun: () => void;
}): JSX.Element {
  const cancel = (): void => {
    // A local page has only the terminal, which then shows a shell.
    if (localPage.value === undefined) navigate(`/@${workspace.owner_name}/${workspace.name}`, { replace: true });
    else location.replace(location.pathname);
  };
  const from = document.referrer === "" ? "an unknown place" : new URL(document.referrer).host;
  return (
    <Dialog title={`Run this in ${workspace.name}?`} onCancel={cancel} insistent>
      <p>
        A link from {from} asks to run a command in your workspace. It runs with your rights there; run it only if you
        know what it does.
      </p>
      <pre class="consent">{visible(command)}</pre>
      <div class="actions">
        {/* biome-ignore lint/a11y/noAutofocus: the safe answer has the keyboard */}
        <button type="button" class="button" autoFocus onClick={cancel}>
          Cancel
        </button>
        <ConsentButton onAgree={onRun}>Run</ConsentButton>
      </div>
    </Dialog>
  );
}
