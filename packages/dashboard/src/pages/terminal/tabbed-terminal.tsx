import { type Signal, useSignal } from "@preact/signals";
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { applicationsHost } from "../../api/apps.ts";
import { EndToEndSwitch, useEndToEnd } from "../../e2e/end-to-end-switch.tsx";
import { EndToEndTerminal } from "../../e2e/end-to-end-terminal.tsx";
import { useAgentNetwork } from "../../live/sources.ts";
import { RegionChooser } from "../../regions/region-chooser.tsx";
import { address, navigate } from "../../router/location.ts";
import { localPage } from "../../session/session.ts";
import { settings } from "../../session/settings.ts";
import type { AppPlace } from "../../terminal/link-target.ts";
import { closeTab, neighbour, newTab, replaceTab, showTab, type Tab, type Tabs, titled } from "../../terminal/tabs.ts";
import type { TabKey } from "../../terminal/terminal-session.ts";
import { TerminalTabs } from "../../terminal/terminal-tabs.tsx";
import { tabTitle } from "../../terminal/title.ts";
import type { TerminalTarget } from "../../terminal/transport.ts";
import { Icon } from "../../ui/icon.tsx";
import { PathBadge, pathOf } from "../../ui/state.tsx";
import { firstTabs, keepTabs } from "./kept-tabs.ts";
import { TerminalTools } from "./terminal-tools.tsx";

interface TabbedTerminalProps {
  readonly workspace: Workspace;
  readonly agent: WorkspaceAgent;
  readonly query: URLSearchParams;
}

/** The terminals of an agent, of which one is in view. */
export function TabbedTerminal({ workspace, agent, query }: TabbedTerminalProps): JSX.Element {
  const tabs = useKeptTabs(agent.id, query);
  const apps = useAppPlace(workspace, agent);
  const chosen = useEndToEnd(workspace, query);
  const local = localPage.value;
  // The tunnel of the command that serves a local page ends in the workspace anyway.
  const endToEnd = local === undefined ? chosen : { ...chosen, on: false };
  const { shown, list } = tabs.value;
  const title = list.find(({ id }) => id === shown)?.title ?? "";
  const attention = useAttention();
  const marked = attention.value;
  useEffect(() => {
    document.title = tabTitle(title, workspace.name, marked);
  }, [title, workspace.name, marked]);
  const change = (next: (tabs: Tabs) => Tabs): void => {
    tabs.value = next(tabs.peek());
  };
  const onTab = (key: TabKey): void => change((now) => afterKey(now, key));
  return (
    <div class="terminal">
      <div class="terminal-bar">
        <h1>
          <WorkspaceLink workspace={workspace} />
          {title === "" ? null : <span class="quiet"> {title}</span>}
        </h1>
        <TerminalTabs
          tabs={tabs.value}
          onShow={(id) => change((now) => ({ ...now, shown: id }))}
          onClose={(id) => change((now) => closeTab(now, id, fresh()))}
          onNew={() => onTab("new-tab")}
        />
        <TerminalTools
          agentId={agent.id}
          terminal={shown}
          downloads={!endToEnd.on}
          onOpen={(id, name) => change((now) => showTab(now, { id, known: true, command: "", title: name }))}
        />
        <span class="push small-text">
          {endToEnd.on ? null : <RegionChooser />}
          {local === undefined ? <EndToEndSwitch choice={endToEnd} /> : <LocalMark />}
          {agent.status === "connected" && !endToEnd.on ? <AgentPath agentId={agent.id} /> : null}
        </span>
      </div>
      <StartupLine agent={agent} />
      {list.map((tab) => (
        <EndToEndTerminal
          key={`${tab.id} ${endToEnd.on}`}
          choice={endToEnd}
          target={targetOf(agent.id, tab, query)}
          known={tab.known}
          shown={tab.id === shown}
          apps={() => apps.peek()}
          onTitle={(text) => change((now) => titled(now, tab.id, text))}
          onAttention={() => {
            attention.value = document.visibilityState === "hidden";
          }}
          onRestart={() => change((now) => replaceTab(now, tab.id, fresh()))}
          onTab={onTab}
        />
      ))}
    </div>
  );
}

/** A local page has no page of the workspace, so it leads to the deployment's. */
function WorkspaceLink({ workspace }: { readonly workspace: Workspace }): JSX.Element {
  const path = `/@${workspace.owner_name}/${workspace.name}`;
  const local = localPage.value;
  if (local === undefined) return <a href={path}>{workspace.name}</a>;
  return (
    <a href={`${local.deployment}${path}`} target="_blank" rel="noreferrer">
      {workspace.name}
    </a>
  );
}

function LocalMark(): JSX.Element {
  return (
    <span
      class="local-mark"
      title="This page and its connection come from the coder command on this machine; no server can read the terminal"
    >
      <Icon name="lock" /> Served by this machine
    </span>
  );
}

function fresh(): Tab {
  return newTab(crypto.randomUUID());
}

function afterKey(tabs: Tabs, key: TabKey): Tabs {
  switch (key) {
    case "new-tab":
      return showTab(tabs, fresh());
    case "close-tab":
      return closeTab(tabs, tabs.shown, fresh());
    case "next-tab":
      return neighbour(tabs, 1);
    case "earlier-tab":
      return neighbour(tabs, -1);
  }
}

/** The tabs, which survive a reload; the address names the shown one. */
function useKeptTabs(agentId: string, query: URLSearchParams): Signal<Tabs> {
  const tabs = useSignal<Tabs>(firstTabs(agentId, query.get("reconnect") ?? "", query.get("command") ?? ""));
  const { value } = tabs;
  useEffect(() => replaceQuery(value.shown), [value.shown]);
  useEffect(() => keepTabs(agentId, value), [value, agentId]);
  return tabs;
}

/** Whether a program asked for attention while the page was hidden, until the page is shown. */
function useAttention(): Signal<boolean> {
  const attention = useSignal(false);
  useEffect(() => {
    const life = new AbortController();
    const seen = (): void => {
      if (document.visibilityState === "visible") attention.value = false;
    };
    document.addEventListener("visibilitychange", seen, { signal: life.signal });
    return () => life.abort();
  }, [attention]);
  return attention;
}

/** Where links to the workspace's localhost lead; undefined until the deployment has answered. */
function useAppPlace(workspace: Workspace, agent: WorkspaceAgent): Signal<AppPlace | undefined> {
  const place = useSignal<AppPlace | undefined>(undefined);
  useEffect(() => {
    const life = new AbortController();
    const names = { agent: agent.name, workspace: workspace.name, owner: workspace.owner_name };
    applicationsHost(life.signal).then(
      ({ host }) => {
        place.value = { host, ...names };
      },
      () => undefined, // such links then show how to forward the port
    );
    return () => life.abort();
  }, [place, agent.name, workspace.name, workspace.owner_name]);
  return place;
}

function targetOf(agentId: string, { id, command }: Tab, query: URLSearchParams): TerminalTarget {
  return {
    agentId,
    id,
    command,
    keepSeconds: settings.peek().terminalKeepSeconds,
    readOnly: query.get("readonly") === "1",
    container: query.get("container") ?? undefined,
    containerUser: query.get("container_user") ?? undefined,
  };
}

/** Puts the id into the address, so that a reload finds the program, and removes the command, so that no reload runs it again. */
function replaceQuery(id: string): void {
  const url = new URL(address.peek());
  url.searchParams.delete("command");
  url.searchParams.set("reconnect", id);
  if (url.href !== address.peek().href) navigate(`${url.pathname}${url.search}`, { replace: true });
}

function AgentPath({ agentId }: { readonly agentId: string }): JSX.Element | null {
  const { data, error } = useAgentNetwork(agentId);
  const network = data.value;
  // A local page asks the command about its tunnel; without an answer there may be no tunnel any more.
  const unanswered = localPage.value !== undefined && error.value !== undefined;
  return network === undefined || unanswered ? null : <PathBadge {...pathOf(network)} />;
}

/** What the agent is doing before the environment is complete. */
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
