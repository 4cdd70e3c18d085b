/** What the pages show of workspaces and agents, kept current by the watch routes and, where there is none, by asking. */
import type { AgentLog, AgentMetadata, ListeningPortsResponse } from "coder-protocol/rest/agents";
import type { Workspace, WorkspacesResponse } from "coder-protocol/rest/workspaces";
import {
  type AgentNetwork,
  agentLogs,
  agentNetwork,
  listeningPorts,
  listWorkspaces,
  workspaceByName,
} from "../api/workspaces.ts";
import { poll } from "./poll.ts";
import { type Resource, useResource } from "./resource.ts";
import { watchSocket } from "./watch-socket.ts";

const LIST_EVERY_MS = 5_000;
const NETWORK_EVERY_MS = 2_000;
const PORTS_EVERY_MS = 3_000;
const MAX_LOG_LINES = 5_000;

export function useWorkspaces(query: string): Resource<WorkspacesResponse> {
  return useResource(`workspaces:${query}`, {
    load: (signal) => listWorkspaces(query, signal),
    watch: ({ reload }, life) => poll(reload, LIST_EVERY_MS, life),
  });
}

export function useWorkspace(owner: string, name: string): Resource<Workspace> {
  return useResource(`workspace:${owner}/${name}`, {
    load: (signal) => workspaceByName(owner, name, signal),
    follow: ({ deliver, reload }, life, { id }) =>
      watchSocket({
        path: () => `/workspaces/${id}/watch-ws`,
        message: (text) => take(text, deliver),
        reopened: reload,
        life,
      }),
  });
}

export function useAgentNetwork(agentId: string): Resource<AgentNetwork> {
  return useResource(`network:${agentId}`, {
    load: (signal) => agentNetwork(agentId, signal),
    watch: ({ reload }, life) => poll(reload, NETWORK_EVERY_MS, life),
  });
}

export function useListeningPorts(agentId: string): Resource<ListeningPortsResponse> {
  return useResource(`ports:${agentId}`, {
    load: (signal) => listeningPorts(agentId, signal),
    watch: ({ reload }, life) => poll(reload, PORTS_EVERY_MS, life),
  });
}

export function useAgentMetadata(agentId: string): Resource<readonly AgentMetadata[]> {
  return useResource(`metadata:${agentId}`, {
    watch: ({ deliver }, life) =>
      watchSocket({
        path: () => `/workspaceagents/${agentId}/watch-metadata-ws`,
        message: (text) => take(text, deliver),
        life,
      }),
  });
}

/** The latest lines of the agent's log. */
export function useAgentLogs(agentId: string): Resource<readonly AgentLog[]> {
  let lines: readonly AgentLog[] = [];
  const last = (): number => lines.at(-1)?.id ?? 0;
  const add = (more: readonly AgentLog[]): readonly AgentLog[] => {
    const fresh = more.filter(({ id }) => id > last());
    if (fresh.length > 0) lines = [...lines, ...fresh].slice(-MAX_LOG_LINES);
    return lines;
  };
  return useResource(`logs:${agentId}`, {
    load: async (signal) => add(await agentLogs(agentId, last(), signal)),
    follow: ({ deliver }, life) =>
      watchSocket({
        path: () => `/workspaceagents/${agentId}/logs?follow&after=${last()}`,
        message: (text) => deliver(add(JSON.parse(text) as AgentLog[])),
        life,
      }),
  });
}

/** The data of an event of a `…-ws` route; pings have none. */
function take<T>(text: string, deliver: (data: T) => void): void {
  const event = JSON.parse(text) as { readonly type: string; readonly data?: T };
  if (event.type === "data" && event.data !== undefined) deliver(event.data);
}
