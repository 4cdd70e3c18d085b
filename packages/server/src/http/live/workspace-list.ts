import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { WorkspaceListAgent, WorkspaceListRow } from "coder-protocol/rest/dashboard";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { AgentNetwork } from "../../control/agent-network.ts";
import type { UserRow } from "../../db/schema.ts";
import type { Changes } from "../../workspaces/changes.ts";
import type { WorkspaceQuery } from "../../workspaces/workspace-query.ts";
import type { WorkspaceSearch } from "../../workspaces/workspace-search.ts";
import type { WorkspacePresenter } from "../views/presenter.ts";
import type { Entries } from "./entries.ts";
import type { FeedSource } from "./feed.ts";

export const MAX_ROWS = 2_000;
/** Paths and latencies change without a change in the store. */
const NETWORK_EVERY_MS = 2_000;
/** The state of an agent can change with time alone: one that does not connect times out. */
const REREAD_EVERY_MS = 15_000;
/** If more workspaces change at once, the whole list is read again. */
const MAX_CHANGED = 64;

export interface WorkspaceListDeps {
  readonly search: WorkspaceSearch;
  readonly presenter: WorkspacePresenter;
  readonly changes: Changes;
  readonly network: (agentId: string) => AgentNetwork | undefined;
  readonly now: () => number;
}

/** The workspaces that match a query. After a change only the changed workspace is read. */
export class WorkspaceList implements FeedSource {
  readonly everyMs = NETWORK_EVERY_MS;
  readonly #deps: WorkspaceListDeps;
  readonly #user: UserRow;
  readonly #query: WorkspaceQuery;
  readonly #limit: number;
  readonly #changed = new Set<string>();
  #rows = new Map<string, Workspace>();
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(deps: WorkspaceListDeps, of: { user: UserRow; query: WorkspaceQuery; limit: number }) {
    this.#deps = deps;
    this.#user = of.user;
    this.#query = of.query;
    this.#limit = of.limit;
  }

  watch(changed: () => void): () => void {
    return this.#deps.changes.subscribe("workspaces", (change) => {
      if (change.kind === "workspace") this.#changed.add(change.workspaceId);
      else this.#readAt = Number.NEGATIVE_INFINITY;
      changed();
    });
  }

  async read(): Promise<Entries> {
    const changed = [...this.#changed];
    this.#changed.clear();
    if (this.#deps.now() - this.#readAt >= REREAD_EVERY_MS || changed.length > MAX_CHANGED) await this.#readAll();
    else for (const id of changed) await this.#readOne(id);
    return this.#entries();
  }

  async #readAll(): Promise<void> {
    this.#readAt = this.#deps.now();
    const found = await this.#deps.search.visible(this.#user, this.#query);
    const workspaces = await this.#deps.presenter.workspaces(found.slice(0, this.#limit));
    this.#rows = new Map(workspaces.map((workspace) => [workspace.id, workspace]));
  }

  async #readOne(id: string): Promise<void> {
    if (this.#query.id !== undefined && this.#query.id !== id) return;
    const [row] = await this.#deps.search.visible(this.#user, { ...this.#query, id });
    if (row === undefined) this.#rows.delete(id);
    else if (this.#rows.has(id) || this.#rows.size < this.#limit)
      this.#rows.set(id, await this.#deps.presenter.workspace(row));
  }

  #entries(): Entries {
    const { network } = this.#deps;
    return new Map(Array.from(this.#rows, ([id, workspace]) => [id, JSON.stringify(listRow(workspace, network))]));
  }
}

function listRow(workspace: Workspace, network: WorkspaceListDeps["network"]): WorkspaceListRow {
  const agents = workspace.latest_build.resources.flatMap((resource) => resource.agents ?? []);
  return {
    id: workspace.id,
    name: workspace.name,
    owner_name: workspace.owner_name,
    status: workspace.latest_build.status,
    last_used_at: workspace.last_used_at,
    agents: agents.map((agent) => listAgent(agent, agent.status === "connected" ? network(agent.id) : undefined)),
  };
}

function listAgent(agent: WorkspaceAgent, network: AgentNetwork | undefined): WorkspaceListAgent {
  return {
    id: agent.id,
    name: agent.name,
    status: agent.status,
    lifecycle_state: agent.lifecycle_state,
    version: agent.version,
    path: network === undefined ? "none" : pathOf(network.connections),
    latency_ms: network?.median_latency_ms,
  };
}

export function pathOf({ direct, relayed, unknown }: AgentNetwork["connections"]): WorkspaceListAgent["path"] {
  if (direct > 0) return relayed > 0 ? "mixed" : "direct";
  if (relayed > 0) return "relayed";
  return unknown > 0 ? "unknown" : "none";
}
