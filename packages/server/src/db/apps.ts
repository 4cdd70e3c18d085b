import type { AppHealth } from "coder-protocol/rest/workspace-apps";
import type { Kysely, Updateable } from "kysely";
import { byCodePoint, inList } from "./dialect.ts";
import type { AppRow, AppsTable, Database } from "./schema.ts";

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

  async update(id: string, fields: Updateable<AppsTable>): Promise<void> {
    await this.#db.updateTable("apps").set(fields).where("id", "=", id).execute();
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom("apps").where("id", "=", id).execute();
  }

  /** Returns whether it changed. An app of another agent, or one that is not checked, is left alone. */
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
