import type { AppHealth } from "coder-protocol/rest/workspace-apps";
import type { Kysely, Updateable } from "kysely";
import { byCodePoint, inList } from "./dialect.ts";
import type { AppRow, AppsTable, Database } from "./schema.ts";

/** What owners of the deployment see of an app that is shared with others. */
export interface SharedAppRow extends Pick<AppRow, "slug" | "display_name" | "level"> {
  readonly agent_name: string;
  readonly workspace_name: string;
  readonly owner_name: string;
}

/** Declared apps. */
export class Apps {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(rows: readonly AppRow[]): Promise<void> {
    if (rows.length > 0) await this.#db.insertInto("apps").values(rows).execute();
  }

  async find(workspaceId: string, slug: string): Promise<AppRow | undefined> {
    return await this.#db
      .selectFrom("apps")
      .selectAll()
      .where("workspace_id", "=", workspaceId)
      .where("slug", "=", slug)
      .executeTakeFirst();
  }

  async ofWorkspace(workspaceId: string): Promise<AppRow[]> {
    return await this.#db
      .selectFrom("apps")
      .selectAll()
      .where("workspace_id", "=", workspaceId)
      .orderBy("position")
      .orderBy(byCodePoint(this.#db, "slug"))
      .execute();
  }

  async ofAgents(agentIds: readonly string[]): Promise<AppRow[]> {
    return await this.#db
      .selectFrom("apps")
      .selectAll()
      .where("agent_id", "in", inList(this.#db, agentIds))
      .orderBy("position")
      .orderBy(byCodePoint(this.#db, "slug"))
      .execute();
  }

  /** The apps of all workspaces that are served and shared with more than their owner. */
  async shared(): Promise<SharedAppRow[]> {
    return await this.#db
      .selectFrom("apps")
      .innerJoin("agents", "agents.id", "apps.agent_id")
      .innerJoin("workspaces", "workspaces.id", "apps.workspace_id")
      .innerJoin("users", "users.id", "workspaces.owner_id")
      .select(["apps.slug", "apps.display_name", "apps.level", "agents.name as agent_name"])
      .select(["workspaces.name as workspace_name", "users.username as owner_name"])
      .where("apps.level", "!=", "owner")
      .where("apps.external", "=", 0)
      .where("apps.url", "!=", "")
      .where("workspaces.deleted_at", "is", null)
      .orderBy("users.username_key")
      .orderBy("workspaces.name_key")
      .orderBy(byCodePoint(this.#db, "slug"))
      .execute();
  }

  async update(id: string, fields: Updateable<AppsTable>): Promise<void> {
    await this.#db.updateTable("apps").set(fields).where("id", "=", id).execute();
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom("apps").where("id", "=", id).execute();
  }

  /** Returns whether the health changed. Does nothing if the app belongs to another agent or is not checked. */
  async setHealth(agentId: string, id: string, health: AppHealth): Promise<boolean> {
    const result = await this.#db
      .updateTable("apps")
      .set({ health })
      .where("agent_id", "=", agentId)
      .where("id", "=", id)
      .where("health_url", "!=", "")
      .where("health", "!=", health)
      .executeTakeFirst();
    return result.numUpdatedRows > 0n;
  }
}
