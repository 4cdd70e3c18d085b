import type { Kysely } from "kysely";
import { byCodePoint, inList, inOrderOf, isOneOf, lockedInOrder, lockOnly } from "./dialect.ts";
import type { Database, NewWorkspace, WorkspaceRow } from "./schema.ts";

export interface WorkspaceFilter {
  /** Undefined: the workspaces of all users. */
  readonly ownerId: string | undefined;
  /** A part of the name in lower case. */
  readonly nameContains: string | undefined;
  /** Undefined: any. */
  readonly ids?: readonly string[] | undefined;
}

export class Workspaces {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(row: Omit<NewWorkspace, "name_key" | "deleted_at">): Promise<void> {
    await this.#db
      .insertInto("workspaces")
      .values({ ...row, name_key: row.name.toLowerCase(), deleted_at: null })
      .execute();
  }

  /** Also finds deleted workspaces; the caller decides whether to accept them. */
  async byId(id: string): Promise<WorkspaceRow | undefined> {
    return await this.#db.selectFrom("workspaces").selectAll().where("id", "=", id).executeTakeFirst();
  }

  /** Like byId for several workspaces, by the ids of their agents. */
  async ofAgents(agentIds: readonly string[]): Promise<ReadonlyMap<string, WorkspaceRow>> {
    const rows = await this.#db
      .selectFrom("workspaces")
      .innerJoin("agents", "agents.workspace_id", "workspaces.id")
      .selectAll("workspaces")
      .select("agents.id as agent_id")
      .where(isOneOf(this.#db, "agents.id", agentIds))
      .execute();
    return new Map(rows.map(({ agent_id, ...workspace }) => [agent_id, workspace]));
  }

  /** Until the transaction ends, no other one can change what belongs to the workspace. */
  async lock(id: string): Promise<void> {
    await lockOnly(this.#db, this.#db.selectFrom("workspaces").select("id").where("id", "=", id));
  }

  /** Like lock, for several workspaces. */
  async lockAll(ids: readonly string[]): Promise<void> {
    await lockOnly(this.#db, inOrderOf(this.#db, "workspaces", ids));
  }

  async byOwnerAndName(ownerId: string, name: string): Promise<WorkspaceRow | undefined> {
    return await this.#db
      .selectFrom("workspaces")
      .selectAll()
      .where("owner_id", "=", ownerId)
      .where("name_key", "=", name.toLowerCase())
      .executeTakeFirst();
  }

  /** If several workspaces with that name were deleted, the latest of them. */
  async deletedByOwnerAndName(ownerId: string, name: string): Promise<WorkspaceRow | undefined> {
    const rows = await this.#db
      .selectFrom("workspaces")
      .selectAll()
      .where("owner_id", "=", ownerId)
      .where("deleted_at", "is not", null)
      .orderBy("deleted_at", "desc")
      .execute();
    return rows.find((row) => row.name.toLowerCase() === name.toLowerCase());
  }

  /** Workspaces that are not deleted, by last use, then name. */
  async list(filter: WorkspaceFilter): Promise<WorkspaceRow[]> {
    let query = this.#db.selectFrom("workspaces").selectAll().where("deleted_at", "is", null);
    if (filter.ownerId !== undefined) query = query.where("owner_id", "=", filter.ownerId);
    if (filter.nameContains !== undefined) {
      query = query.where("name_key", "like", `%${filter.nameContains.replace(/[\\%_]/g, "")}%`);
    }
    if (filter.ids !== undefined) query = query.where("id", "in", inList(this.#db, filter.ids));
    return await query
      .orderBy("last_used_at", "desc")
      .orderBy(byCodePoint(this.#db, "name_key"))
      .orderBy("id")
      .execute();
  }

  /** The first by name of those that are not deleted. If `ownerId` is undefined, those of all users. */
  async firstByName(ownerId: string | undefined, limit: number): Promise<WorkspaceRow[]> {
    let query = this.#db.selectFrom("workspaces").selectAll().where("deleted_at", "is", null);
    if (ownerId !== undefined) query = query.where("owner_id", "=", ownerId);
    return await query.orderBy(byCodePoint(this.#db, "name_key")).orderBy("id").limit(limit).execute();
  }

  /** How many are not deleted. If `ownerId` is undefined, those of all users. */
  async countOf(ownerId: string | undefined): Promise<number> {
    let query = this.#db
      .selectFrom("workspaces")
      .select((build) => build.fn.countAll<number>().as("count"))
      .where("deleted_at", "is", null);
    if (ownerId !== undefined) query = query.where("owner_id", "=", ownerId);
    const row = await query.executeTakeFirst();
    return Number(row?.count ?? 0);
  }

  async rename(id: string, name: string, now: number): Promise<void> {
    await this.#db
      .updateTable("workspaces")
      .set({ name, name_key: name.toLowerCase(), updated_at: now })
      .where("id", "=", id)
      .execute();
  }

  /** Fields that are undefined are not changed. */
  async setConnectionPolicy(
    id: string,
    policy: {
      readonly connection_policy: WorkspaceRow["connection_policy"] | undefined;
      readonly require_e2e: WorkspaceRow["require_e2e"] | undefined;
    },
    now: number,
  ): Promise<void> {
    await this.#db
      .updateTable("workspaces")
      .set({ ...policy, updated_at: now })
      .where("id", "=", id)
      .execute();
  }

  async touch(ids: readonly string[], now: number): Promise<void> {
    const { query, isLocked } = lockedInOrder(this.#db, "workspaces", ids);
    await query
      .updateTable("workspaces")
      .set({ last_used_at: now })
      .where(isOneOf(this.#db, "workspaces.id", ids))
      .where(isLocked)
      .execute();
  }

  async markDeleted(id: string, now: number): Promise<void> {
    await this.#db
      .updateTable("workspaces")
      .set({ deleted_at: now, updated_at: now, name_key: `deleted:${id}` })
      .where("id", "=", id)
      .execute();
  }
}
