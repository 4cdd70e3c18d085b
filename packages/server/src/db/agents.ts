import type { Kysely, Updateable } from "kysely";
import { appAlias } from "../base/app-alias.ts";
import type { AppPlaceNames } from "../base/app-name.ts";
import { inList, lockOnly, lockRow } from "./dialect.ts";
import type { AgentRow, AgentsTable, Database, NewAgent } from "./schema.ts";

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

  /** Like byId, and locks the row as `lock` does. */
  async locked(id: string): Promise<AgentRow | undefined> {
    return await lockRow(this.#db, this.#db.selectFrom("agents").selectAll().where("id", "=", id)).executeTakeFirst();
  }

  async byTokenHash(hash: string): Promise<AgentRow | undefined> {
    return await this.#db.selectFrom("agents").selectAll().where("token_hash", "=", hash).executeTakeFirst();
  }

  /**
   * Whether the token of this generation is still the agent's current one, its workspace is started, and its owner may use it.
   */
  async mayConnect(id: string, tokenGeneration: number): Promise<boolean> {
    const row = await this.#db
      .selectFrom("agents")
      .innerJoin("workspaces", "workspaces.id", "agents.workspace_id")
      .innerJoin("users", "users.id", "workspaces.owner_id")
      .select((query) =>
        query
          .selectFrom("workspace_builds")
          .select("transition")
          .whereRef("workspace_builds.workspace_id", "=", "workspaces.id")
          .orderBy("build_number", "desc")
          .limit(1)
          .as("transition"),
      )
      .where("agents.id", "=", id)
      .where("agents.token_generation", "=", tokenGeneration)
      .where("workspaces.deleted_at", "is", null)
      .where("users.deleted_at", "is", null)
      .where("users.status", "=", "active")
      .executeTakeFirst();
    return row?.transition === "start";
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

  async setToken(id: string, token: { generation: number; hash: string }, now: number): Promise<void> {
    await this.update(id, { token_generation: token.generation, token_hash: token.hash, updated_at: now });
  }

  /** Updates the status fields that the agent's session reports; id, workspace and token cannot be changed. */
  async update(id: string, fields: Updateable<AgentsTable>): Promise<void> {
    await this.#db.updateTable("agents").set(fields).where("id", "=", id).execute();
  }

  /** Records a heartbeat of the agents that are connected. */
  async heard(ids: readonly string[], at: number): Promise<void> {
    // Always in the same order: two servers that lock the same rows in different orders would deadlock.
    const rows = this.#db.selectFrom("agents").select("id").where("id", "in", inList(this.#db, ids)).orderBy("id");
    await lockOnly(this.#db, rows);
    await this.#db
      .updateTable("agents")
      .set({ last_connected_at: at })
      .where("id", "in", inList(this.#db, ids))
      .where("disconnected_at", "is", null)
      .where("first_connected_at", "is not", null)
      .execute();
  }
}
