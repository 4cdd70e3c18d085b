/** What the pages show about workspaces and agents, kept current by the stream. */
import type { AgentLog, AgentMetadata, ListeningPortsResponse } from "coder-protocol/rest/agents";
import type { PortShare, ShareLevel } from "coder-protocol/rest/apps";
import type { WorkspaceListRow } from "coder-protocol/rest/dashboard";
import type { AgentTerminal } from "coder-protocol/rest/terminals";
import type { Workspace } from "coder-protocol/rest/workspaces";
import { ApiError } from "../api/client.ts";
import { listTerminals } from "../api/terminals.ts";
import {
  type AgentNetwork,
  agentLogs,
  agentNetwork,
  listeningPorts,
  listWorkspaces,
  portShares,
  workspaceByName,
} from "../api/workspaces.ts";
import { takeFirstRows } from "./first-rows.ts";
import { listRow } from "./list-row.ts";
import { type Resource, useResource } from "./resource.ts";
import type { Data } from "./stream/messages.ts";
import { streamed } from "./streamed.ts";

const LIST_EVERY_MS = 5_000;
const NETWORK_EVERY_MS = 2_000;
const PORTS_EVERY_MS = 3_000;
const LOGS_EVERY_MS = 5_000;

export function useWorkspaces(query: string): Resource<readonly WorkspaceListRow[]> {
  return useResource(`workspaces:${query}`, {
    first: () => (query === "" ? takeFirstRows() : undefined),
    ...streamed({
      subscription: { topic: "workspaces", args: { q: query } },
      read: (data) => Object.values(data) as WorkspaceListRow[],
      load: async (signal) => (await listWorkspaces(query, signal)).workspaces.map(listRow),
      everyMs: LIST_EVERY_MS,
    }),
  });
}

export function useWorkspace(owner: string, name: string): Resource<Workspace> {
  return useResource(`workspace:${owner}/${name}`, {
    load: (signal) => workspaceByName(owner, name, signal),
    follow: (changes, life, { id }) =>
      streamed({
        subscription: { topic: "workspace", args: { id } },
        read: (data) => data as unknown as Workspace,
        everyMs: LIST_EVERY_MS,
      }).watch?.(changes, life),
  });
}

export function useAgentNetwork(agentId: string): Resource<AgentNetwork> {
  return useResource(
    `network:${agentId}`,
    streamed({
      subscription: { topic: "agent-network", args: { agent: agentId } },
      // There is no such data for an agent that is not connected.
      read: (data) => ("connections" in data ? (data as unknown as AgentNetwork) : undefined),
      load: (signal) => agentNetwork(agentId, signal),
      everyMs: NETWORK_EVERY_MS,
    }),
  );
}

export interface OpenPorts {
  readonly ports: ListeningPortsResponse["ports"];
  readonly shares: readonly PortShare[];
  /** The address at which ports open, with `{{port}}` for the port; "" where ports have no addresses. */
  readonly address: string;
  /** The widest level that an administrator allows. */
  readonly max_share_level: ShareLevel;
}

export function useOpenPorts(workspaceId: string, agent: { id: string; name: string }): Resource<OpenPorts> {
  return useResource(
    `ports:${agent.id}`,
    streamed({
      subscription: { topic: "ports", args: { agent: agent.id } },
      read: (data) => data as unknown as OpenPorts,
      load: async (signal) => {
        const [{ ports, address = "" }, shared] = await Promise.all([
          listeningPorts(agent.id, ["shared"], signal),
          portShares(workspaceId, signal),
        ]);
        const shares = shared.shares.filter(({ agent_name: name }) => name === agent.name);
        return { ports, address, ...shared, shares };
      },
      everyMs: PORTS_EVERY_MS,
    }),
  );
}

export interface RunningTerminals {
  readonly terminals: readonly AgentTerminal[];
  /** False for agents that do not list their terminals. */
  readonly supported: boolean;
  /** False while the agent cannot be asked. */
  readonly reachable: boolean;
}

/** Running terminals of the workspace, whether or not they are shown anywhere. */
export function useTerminals(agentId: string): Resource<RunningTerminals> {
  return useResource(
    `terminals:${agentId}`,
    streamed({
      subscription: { topic: "terminals", args: { agent: agentId } },
      read: (data) => ("terminals" in data ? (data as unknown as RunningTerminals) : undefined),
      load: async (signal) => {
        const { terminals, supported = true } = await listTerminals(agentId, signal);
        return { terminals, supported, reachable: true };
      },
      everyMs: PORTS_EVERY_MS,
    }),
  );
}

export function useAgentMetadata(agentId: string): Resource<readonly AgentMetadata[]> {
  return useResource(
    `metadata:${agentId}`,
    streamed({
      subscription: { topic: "agent-metadata", args: { agent: agentId } },
      read: (data) => sortedByKey(data) as AgentMetadata[],
      // There is no REST route for this.
      load: async () => {
        throw new ApiError(0, { message: "The workspace's figures come back with the connection to the server" });
      },
      everyMs: 60_000,
    }),
  );
}

/** The latest lines of the agent's log. */
export function useAgentLogs(agentId: string): Resource<readonly AgentLog[]> {
  return useResource(
    `logs:${agentId}`,
    streamed({
      subscription: { topic: "agent-logs", args: { agent: agentId } },
      // Numeric keys come in numerical order.
      read: (data) => Object.values(data) as AgentLog[],
      load: (signal) => agentLogs(agentId, 0, signal),
      everyMs: LOGS_EVERY_MS,
    }),
  );
}

function sortedByKey(data: Data): unknown[] {
  return Object.keys(data)
    .sort()
    .map((key) => data[key]);
}
