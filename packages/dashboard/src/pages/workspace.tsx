import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { buildWorkspace } from "../api/workspaces.ts";
import { capital } from "../base/words.ts";
import { useWorkspace } from "../live/sources.ts";
import { useRegions } from "../regions/use-regions.ts";
import { Breadcrumbs } from "../ui/breadcrumbs.tsx";
import { useWork } from "../ui/form.tsx";
import { Icon } from "../ui/icon.tsx";
import { Problem } from "../ui/problem.tsx";
import { agentState, State } from "../ui/state.tsx";
import { Time } from "../ui/time.tsx";
import { agentsOf } from "./agents-of.ts";
import type { PageProps } from "./page-props.ts";
import { Apps } from "./workspace/apps.tsx";
import { HowToConnect } from "./workspace/browser-only.tsx";
import { Connection } from "./workspace/connection.tsx";
import { Credentials } from "./workspace/credentials.tsx";
import { Logs } from "./workspace/logs.tsx";
import { MetadataTiles } from "./workspace/metadata-tiles.tsx";
import { Ports } from "./workspace/ports.tsx";
import { Scripts } from "./workspace/scripts.tsx";

export function WorkspacePage({ params }: PageProps): JSX.Element {
  const { owner = "", workspace: name = "" } = params;
  const { data, error, reload } = useWorkspace(owner, name);
  useRegions();
  const workspace = data.value;
  return (
    <section class="page">
      <Breadcrumbs steps={[["/workspaces", "Workspaces"]]} />
      {workspace === undefined ? <h1>{name}</h1> : <Head workspace={workspace} />}
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {workspace === undefined
        ? null
        : agentsOf(workspace).map((agent) => <Agent key={agent.id} workspace={workspace} agent={agent} />)}
      {workspace !== undefined && workspace.latest_build.status === "stopped" ? (
        <p class="quiet">The workspace is stopped: its agent is refused until it is started again.</p>
      ) : null}
    </section>
  );
}

function Head({ workspace }: { readonly workspace: Workspace }): JSX.Element {
  const work = useWork();
  const { status } = workspace.latest_build;
  const running = status === "running";
  const connected = agentsOf(workspace).some((agent) => agent.status === "connected");
  const base = `/@${workspace.owner_name}/${workspace.name}`;
  return (
    <>
      <div class="page-head">
        <h1>
          <span class="quiet">{workspace.owner_name}/</span>
          {workspace.name}
        </h1>
        <div class="actions">
          {connected ? (
            <a class="button primary" href={`${base}/terminal`}>
              <Icon name="terminal" /> Terminal
            </a>
          ) : null}
          <button
            type="button"
            class="button"
            disabled={work.running}
            onClick={() =>
              work.run(async () => {
                await buildWorkspace(workspace.id, running ? "stop" : "start");
              })
            }
          >
            <Icon name={running ? "stop" : "play"} /> {running ? "Stop" : "Start"}
          </button>
          <a class="button" href={`${base}/settings`}>
            <Icon name="gear" /> Settings
          </a>
        </div>
      </div>
      <p class="facts">
        <State tone={running ? "ok" : "idle"}>{capital(status)}</State>
        <span>
          Last used <Time at={workspace.last_used_at} />
        </span>
        <span>
          Created <Time at={workspace.created_at} />
        </span>
      </p>
      {work.error === undefined ? null : <Problem error={work.error} />}
    </>
  );
}

function Agent({ workspace, agent }: { readonly workspace: Workspace; readonly agent: WorkspaceAgent }): JSX.Element {
  const { tone, text } = agentState(agent);
  const connected = agent.status === "connected";
  return (
    <article class="agent" aria-label={`Agent ${agent.name}`}>
      <header>
        <h2>{agent.name}</h2>
        <State tone={tone}>{text}</State>
        <span class="quiet">
          {agent.operating_system} {agent.architecture} {agent.version}
        </span>
        {connected ? null : (
          <span class="quiet">
            Last seen <Time at={agent.last_connected_at} />
          </span>
        )}
      </header>
      {connected ? <Connection agentId={agent.id} agentName={agent.name} /> : null}
      <MetadataTiles agentId={agent.id} />
      {connected ? <Apps workspace={workspace} agent={agent} /> : null}
      <div class={connected ? "columns ports" : "columns"}>
        <HowToConnect workspace={workspace} agent={agent} />
        {connected ? <Ports workspace={workspace} agent={agent} /> : null}
      </div>
      <Scripts agent={agent} />
      <Logs agentId={agent.id} />
      <Credentials workspace={workspace} agent={agent} />
    </article>
  );
}
