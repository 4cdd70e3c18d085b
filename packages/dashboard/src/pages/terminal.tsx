import { useSignal } from "@preact/signals";
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { buildWorkspace, reportUsage } from "../api/workspaces.ts";
import { visible } from "../base/words.ts";
import { useAgentNetwork, useWorkspace } from "../live/sources.ts";
import { address, navigate } from "../router/location.ts";
import { settings } from "../session/settings.ts";
import { TerminalView } from "../terminal/terminal-view.tsx";
import { ConsentButton, Dialog } from "../ui/dialog.tsx";
import { useWork } from "../ui/form.tsx";
import { Icon } from "../ui/icon.tsx";
import { Problem } from "../ui/problem.tsx";
import { PathBadge, pathOf } from "../ui/state.tsx";
import { agentsOf } from "./agents-of.ts";
import type { PageProps } from "./page-props.ts";

const USAGE_EVERY_MS = 60_000;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function Terminal({ params, query }: PageProps): JSX.Element {
  const { owner = "", workspace: name = "", agent: agentName } = params;
  const { data, error, reload } = useWorkspace(owner, name);
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
      {stopped ? (
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

interface Shown {
  readonly id: string;
  /** Whether the id came with the address: its program may have run before. */
  readonly known: boolean;
  readonly command: string;
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
  const asked = query.get("reconnect") ?? "";
  const shown = useSignal<Shown>(
    UUID.test(asked) ? { id: asked, known: true, command } : { id: crypto.randomUUID(), known: false, command },
  );
  const agreed = useSignal(command === "");
  const title = useSignal("");
  const { id } = shown.value;
  useEffect(() => {
    if (agreed.value) replaceQuery(id);
  }, [id, agreed.value, agreed]);
  useEffect(() => {
    document.title = `${title.value === "" ? "Terminal" : title.value} · ${workspace.name} · Coder`;
  }, [title.value, title, workspace.name]);
  useEffect(() => {
    if (!agreed.value) return;
    // Only counts use; a failure changes nothing for the person.
    const tell = (): void => void reportUsage(workspace.id, agent.id).catch(() => undefined);
    tell();
    const timer = setInterval(tell, USAGE_EVERY_MS);
    return () => clearInterval(timer);
  }, [agreed.value, agreed, workspace.id, agent.id]);
  if (!agreed.value)
    return (
      <Consent
        command={command}
        workspace={workspace}
        onRun={() => {
          agreed.value = true;
        }}
      />
    );
  return (
    <div class="terminal">
      <div class="terminal-bar">
        <h1>
          <a href={`/@${workspace.owner_name}/${workspace.name}`}>{workspace.name}</a>
          {title.value === "" ? null : <span class="quiet"> {title.value}</span>}
        </h1>
        <span class="push small-text">{agent.status === "connected" ? <AgentPath agentId={agent.id} /> : null}</span>
      </div>
      <StartupLine agent={agent} />
      <TerminalView
        key={id}
        target={{
          agentId: agent.id,
          id,
          command: shown.value.command,
          keepSeconds: settings.peek().terminalKeepSeconds,
          readOnly: query.get("readonly") === "1",
          ...optional("container", query.get("container")),
          ...optional("containerUser", query.get("container_user")),
        }}
        known={shown.value.known}
        onTitle={(text) => {
          title.value = text;
        }}
        onRestart={() => {
          title.value = "";
          shown.value = { id: crypto.randomUUID(), known: false, command: "" };
        }}
      />
    </div>
  );
}

function optional<Name extends string>(name: Name, value: string | null): { readonly [key in Name]?: string } {
  return (value === null ? {} : { [name]: value }) as { [key in Name]?: string };
}

/** The id into the address, so that a reload finds the program; the command out of it, so that none runs it again. */
function replaceQuery(id: string): void {
  const url = new URL(address.peek());
  url.searchParams.delete("command");
  url.searchParams.set("reconnect", id);
  if (url.href !== address.peek().href) navigate(`${url.pathname}${url.search}`, { replace: true });
}

function AgentPath({ agentId }: { readonly agentId: string }): JSX.Element | null {
  const network = useAgentNetwork(agentId).data.value;
  return network === undefined ? null : <PathBadge {...pathOf(network)} />;
}

/** What the agent does before the environment is whole. */
function StartupLine({ agent }: { readonly agent: WorkspaceAgent }): JSX.Element | null {
  const was = useSignal(agent.lifecycle_state);
  const state = agent.lifecycle_state;
  if (state === "starting" || state === "created")
    return <p class="terminal-line">Startup scripts are running; the environment may be incomplete.</p>;
  if (state === "start_error") {
    const failed = agent.scripts.find(({ exit_code: code }) => code !== undefined && code !== 0);
    return <p class="terminal-line">The startup script {failed?.display_name ?? ""} failed.</p>;
  }
  if (state === "ready" && was.value !== "ready")
    return <p class="terminal-line">Startup is complete: a new session has the full environment.</p>;
  return null;
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
  const cancel = (): void => navigate(`/@${workspace.owner_name}/${workspace.name}`, { replace: true });
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
