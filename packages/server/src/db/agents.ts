import type { ConnectionPolicy } from "coder-protocol/rest/connection-policy";
import type { Kysely, Updateable } from "kysely";
import { appAlias } from "../base/app-alias.ts";
import type { AppPlaceNames } from "../base/app-name.ts";
import { type StoredManifest, storedManifests } from "./agent-manifest.ts";
import { inList, inOrderOf, isOneOf, lockOnly, lockRow } from "./dialect.ts";
import type { AgentRow, AgentsTable, Database, NewAgent, UserRow, WorkspaceRow } from "./schema.ts";
import { latestTransition, workspaceRuns } from "./workspace-runs.ts";

/** An agent with its workspace and owner, and what decides whether it may connect. */
export interface OwnedAgent {
  readonly agent: AgentRow;
  readonly workspace: Pick<WorkspaceRow, "id" | "name" | "deleted_at">;
  /** Undefined if the user was deleted. */
  readonly owner: Pick<UserRow, "id" | "username" | "status"> | undefined;
  /** The transition of the latest build. */
  readonly transition: string | null;
}

export class Agents {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(row: Omit<NewAgent, "app_alias">): Promise<void> {
    await this.#db
      .insertInto("agents")
      .values({ ...row, app_alias: appAlias(row.id) })
      .execute();
  }

  async byAppAlias(alias: string): Promise<AgentRow | undefined> {
    return await this.#db.selectFrom("agents").selectAll().where("app_alias", "=", alias).executeTakeFirst();
  }

  async byId(id: string): Promise<AgentRow | undefined> {
    return await this.#db.selectFrom("agents").selectAll().where("id", "=", id).executeTakeFirst();
  }

  /** Until the transaction ends, no other one can change the agent and what belongs to it. */
  async lock(id: string): Promise<void> {
    await lockOnly(this.#db, this.#db.selectFrom("agents").select("id").where("id", "=", id));
  }

  /** Like lock, for several agents. */
  async lockAll(ids: readonly string[]): Promise<void> {
    await lockOnly(this.#db, inOrderOf(this.#db, "agents", ids));
  }

  /** By the hashes of their tokens. */
  async byTokenHashes(hashes: readonly string[]): Promise<ReadonlyMap<string, OwnedAgent>> {
    const rows = await this.#db
      .selectFrom("agents")
      .innerJoin("workspaces", "workspaces.id", "agents.workspace_id")
      .innerJoin("users", "users.id", "workspaces.owner_id")
      .selectAll("agents")
      .select(["workspaces.name as workspace_name", "workspaces.deleted_at as workspace_deleted_at"])
      .select(["users.id as owner_id", "users.username", "users.status", "users.deleted_at as owner_deleted_at"])
      .select((query) => latestTransition(query).as("transition"))
      .where(isOneOf(this.#db, "agents.token_hash", hashes))
      .execute();
    return new Map(
      rows.map((row) => {
        const { workspace_name, workspace_deleted_at, owner_id, username, status, ...others } = row;
        const { owner_deleted_at, transition, ...agent } = others;
        const owned = {
          agent,
          workspace: { id: agent.workspace_id, name: workspace_name, deleted_at: workspace_deleted_at },
          owner: owner_deleted_at === null ? { id: owner_id, username, status } : undefined,
          transition,
        };
        return [agent.token_hash, owned];
      }),
    );
  }

  /**
   * Whether the token of this generation is still the agent's current one, its workspace is started, and its owner may use it.
   */
  async mayConnect(id: string, tokenGeneration: number): Promise<boolean> {
    const row = await this.#db
      .selectFrom("agents")
      .select("agents.id")
      .where("agents.id", "=", id)
      .where("agents.token_generation", "=", tokenGeneration)
      .where(workspaceRuns)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** In the order in which they were created. */
  async ofWorkspace(workspaceId: string): Promise<AgentRow[]> {
    return await this.#db
      .selectFrom("agents")
      .selectAll()
      .where("workspace_id", "=", workspaceId)
      .orderBy("created_at")
      .orderBy("id")
      .execute();
  }

  /** The agents of all workspaces with this policy. */
  async idsByConnectionPolicy(policy: ConnectionPolicy): Promise<string[]> {
    const rows = await this.#db
      .selectFrom("agents")
      .innerJoin("workspaces", "workspaces.id", "agents.workspace_id")
      .select("agents.id")
      .where("workspaces.connection_policy", "=", policy)
      .execute();
    return rows.map(({ id }) => id);
  }

  /** The agents of several workspaces, for each workspace in the order in which they were created. */
  async ofWorkspaces(workspaceIds: readonly string[]): Promise<AgentRow[]> {
    return await this.#db
      .selectFrom("agents")
      .selectAll()
      .where("workspace_id", "in", inList(this.#db, workspaceIds))
      .orderBy("created_at")
      .orderBy("id")
      .execute();
  }

  /** `owner/workspace.agent` by the agent's id. */
  async fullNames(ids: readonly string[]): Promise<Map<string, string>> {
    const rows = await this.#db
      .selectFrom("agents")
      .innerJoin("workspaces", "workspaces.id", "agents.workspace_id")
      .innerJoin("users", "users.id", "workspaces.owner_id")
      .select(["agents.id", "agents.name", "workspaces.name as workspace", "users.username"])
      .where("agents.id", "in", inList(this.#db, ids))
      .execute();
    return new Map(rows.map((row) => [row.id, `${row.username}/${row.workspace}.${row.name}`]));
  }

  /** The names from which names of apps are built, by the agent's id. */
  async appPlaces(ids: readonly string[]): Promise<Map<string, AppPlaceNames>> {
    const rows = await this.#db
      .selectFrom("agents")
      .innerJoin("workspaces", "workspaces.id", "agents.workspace_id")
      .innerJoin("users", "users.id", "workspaces.owner_id")
      .select(["agents.id", "agents.name", "agents.app_alias", "workspaces.name as workspace", "users.username"])
      .where("agents.id", "in", inList(this.#db, ids))
      .execute();
    return new Map(
      rows.map(({ id, name, workspace, username, app_alias }) => [
        id,
        { agent: name, workspace, owner: username, alias: app_alias },
      ]),
    );
  }

  /** The stored parts of the manifests of several agents. */
  async manifests(ids: readonly string[]): Promise<ReadonlyMap<string, StoredManifest>> {
    return await storedManifests(this.#db, ids);
  }

  async setToken(id: string, token: { generation: number; hash: string }, now: number): Promise<void> {
    await this.update(id, { token_generation: token.generation, token_hash: token.hash, updated_at: now });
  }

  /** Updates the status fields that the agent's session reports; id, workspace and token cannot be changed. */
  async update(id: string, fields: Updateable<AgentsTable>): Promise<void> {
    await this.#db.updateTable("agents").set(fields).where("id", "=", id).execute();
  }

  /**
   * Records a heartbeat of connections, which are given by agent.
   * @returns the agents for which that connection is stored.
   */
  async heard(connections: ReadonlyMap<string, string>, at: number): Promise<string[]> {
    // Always in the same order: two servers that lock the same rows in different orders would deadlock.
    const agents = this.#db
      .selectFrom("agents")
      .select("id")
      .where("id", "in", inList(this.#db, [...connections.keys()]))
      .orderBy("id");
    const rows = await this.#db
      .with("locked", () => lockRow(this.#db, agents))
      .updateTable("agents")
      .set({ last_connected_at: at })
      .where("id", "in", (query) => query.selectFrom("locked").select("locked.id"))
      .where("connection_id", "in", inList(this.#db, [...connections.values()]))
      .where("disconnected_at", "is", null)
      .where("first_connected_at", "is not", null)
      .returning("id")
      .execute();
    return rows.map(({ id }) => id);
  }
}
