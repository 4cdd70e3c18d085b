/** Rows of the list of workspaces: only what the list shows, in the same few queries for any number of workspaces. */
import type { WorkspaceListAgent, WorkspaceListRow } from "coder-protocol/rest/dashboard";
import { formatTime } from "../../base/clock.ts";
import type { AgentNetwork } from "../../control/agent-network.ts";
import type { AgentRow, WorkspaceBuildRow, WorkspaceRow } from "../../db/schema.ts";
import type { Tables } from "../../db/store.ts";
import { agentStatus } from "../../workspaces/agent-state.ts";
import { buildStatus } from "../../workspaces/build-status.ts";

export type ListTables = Pick<Tables, "users" | "builds" | "agents">;
export type NetworkOf = (agentId: string) => AgentNetwork | undefined;

/** A row without the paths of its agents, which change without a change in the store. */
export interface StoredRow extends Omit<WorkspaceListRow, "agents"> {
  readonly agents: readonly Omit<WorkspaceListAgent, "path" | "latency_ms">[];
}

/** In the order of `workspaces`. One without a build is left out: it is being created. */
export async function readRows(
  tables: ListTables,
  workspaces: readonly WorkspaceRow[],
  now: number,
): Promise<StoredRow[]> {
  if (workspaces.length === 0) return [];
  const builds = await tables.builds.latestOf(workspaces.map(({ id }) => id));
  const users = await tables.users.shownOf([...new Set(workspaces.map((workspace) => workspace.owner_id))]);
  const started = workspaces.filter(({ id }) => builds.get(id)?.transition === "start").map(({ id }) => id);
  const agents = Map.groupBy(await tables.agents.ofWorkspaces(started), (agent) => agent.workspace_id);
  return workspaces.flatMap((workspace) => {
    const build = builds.get(workspace.id);
    if (build === undefined) return [];
    const owner = users.get(workspace.owner_id)?.username ?? "";
    return [storedRow(workspace, build, owner, agents.get(workspace.id) ?? [], now)];
  });
}

function storedRow(
  workspace: WorkspaceRow,
  build: WorkspaceBuildRow,
  owner: string,
  agents: readonly AgentRow[],
  now: number,
): StoredRow {
  return {
    id: workspace.id,
    name: workspace.name,
    owner_name: owner,
    status: buildStatus(build),
    last_used_at: formatTime(workspace.last_used_at),
    agents: agents.map((agent) => ({
      id: agent.id,
      name: agent.name,
      status: agentStatus(agent, now),
      lifecycle_state: agent.lifecycle_state,
      version: agent.version,
    })),
  };
}

export function withPaths(row: StoredRow, network: NetworkOf): WorkspaceListRow {
  return {
    ...row,
    agents: row.agents.map((agent) => {
      const seen = agent.status === "connected" ? network(agent.id) : undefined;
      return {
        ...agent,
        path: seen === undefined ? "none" : pathOf(seen.connections),
        latency_ms: seen?.median_latency_ms,
      };
    }),
  };
}

function pathOf({ direct, relayed, unknown }: AgentNetwork["connections"]): WorkspaceListAgent["path"] {
  if (direct > 0) return relayed > 0 ? "mixed" : "direct";
  if (relayed > 0) return "relayed";
  return unknown > 0 ? "unknown" : "none";
}
