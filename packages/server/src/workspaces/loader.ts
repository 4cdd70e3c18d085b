import type { ConnectionPolicy } from "coder-protocol/rest/connection-policy";
import { notFound } from "../base/domain-error.ts";
import type { AgentLogSourceRow, AgentRow, AgentScriptRow, WorkspaceBuildRow, WorkspaceRow } from "../db/schema.ts";
import type { Tables } from "../db/store.ts";
import { type PlacedApp, placedApps } from "./declared-apps.ts";

/** An agent, with everything that is shown of it. */
export interface LoadedAgent {
  readonly row: AgentRow;
  readonly logSources: readonly AgentLogSourceRow[];
  readonly scripts: readonly AgentScriptRow[];
  readonly apps: readonly PlacedApp[];
}

export interface LoadedBuild {
  readonly row: WorkspaceBuildRow;
  readonly workspace: WorkspaceRow;
  readonly ownerName: string;
  readonly ownerPolicy: ConnectionPolicy;
  readonly initiatorName: string;
  /** Empty for a build that does not start the workspace. */
  readonly agents: readonly LoadedAgent[];
}

export interface LoadedWorkspace {
  readonly row: WorkspaceRow;
  readonly latestBuild: LoadedBuild;
}

type LoaderTables = Pick<Tables, "users" | "workspaces" | "builds" | "agents" | "agentLogs" | "agentScripts" | "apps">;

/**
 * Reads workspaces, builds and agents with everything that belongs to them, in the same number of queries for any number of rows.
 */
export class WorkspaceLoader {
  readonly #tables: LoaderTables;

  constructor(tables: LoaderTables) {
    this.#tables = tables;
  }

  /** In the order of `rows`. Throws DomainError "not-found" if one was removed meanwhile. */
  async workspaces(rows: readonly WorkspaceRow[]): Promise<LoadedWorkspace[]> {
    const latest = await this.#tables.builds.latestOf(rows.map((row) => row.id));
    const pairs = rows.map((workspace) => ({ workspace, row: latest.get(workspace.id) ?? missing() }));
    const loaded = await this.#builds(pairs);
    return loaded.map((latestBuild) => ({ row: latestBuild.workspace, latestBuild }));
  }

  /** In the order of `rows`. */
  async builds(workspace: WorkspaceRow, rows: readonly WorkspaceBuildRow[]): Promise<LoadedBuild[]> {
    return await this.#builds(rows.map((row) => ({ workspace, row })));
  }

  /** In the order of `rows`. */
  async agents(rows: readonly AgentRow[]): Promise<LoadedAgent[]> {
    const ids = rows.map((row) => row.id);
    const logSources = Map.groupBy(await this.#tables.agentLogs.sourcesOf(ids), (source) => source.agent_id);
    const scripts = Map.groupBy(await this.#tables.agentScripts.listOf(ids), (script) => script.agent_id);
    const apps = Map.groupBy(
      await placedApps(this.#tables, await this.#tables.apps.ofAgents(ids)),
      (app) => app.row.agent_id,
    );
    return rows.map((row) => ({
      row,
      logSources: logSources.get(row.id) ?? [],
      scripts: scripts.get(row.id) ?? [],
      apps: apps.get(row.id) ?? [],
    }));
  }

  /**
   * The policies that decide who may connect to an agent. Throws DomainError "not-found" if its workspace was removed meanwhile.
   */
  async policies(agent: AgentRow): Promise<{ readonly workspace: WorkspaceRow; readonly owner: ConnectionPolicy }> {
    const workspace = (await this.#tables.workspaces.byId(agent.workspace_id)) ?? missing();
    const owner = (await this.#tables.users.shownOf([workspace.owner_id])).get(workspace.owner_id);
    return { workspace, owner: owner?.connection_policy ?? "inherit" };
  }

  async #builds(pairs: readonly { workspace: WorkspaceRow; row: WorkspaceBuildRow }[]): Promise<LoadedBuild[]> {
    const userIds = new Set(pairs.flatMap(({ workspace, row }) => [workspace.owner_id, row.initiator_id]));
    const users = await this.#tables.users.shownOf([...userIds]);
    const started = new Set(pairs.filter(({ row }) => row.transition === "start").map(({ workspace }) => workspace.id));
    const agents = Map.groupBy(
      await this.agents(await this.#tables.agents.ofWorkspaces([...started])),
      (agent) => agent.row.workspace_id,
    );
    return pairs.map(({ workspace, row }) => ({
      row,
      workspace,
      ownerName: users.get(workspace.owner_id)?.username ?? "",
      ownerPolicy: users.get(workspace.owner_id)?.connection_policy ?? "inherit",
      initiatorName: users.get(row.initiator_id)?.username ?? "",
      agents: row.transition === "start" ? (agents.get(workspace.id) ?? []) : [],
    }));
  }
}

function missing(): never {
  throw notFound();
}
