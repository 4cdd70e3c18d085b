import type { Kysely, Updateable } from "kysely";
import type { AgentRow, AgentsTable, Database, NewAgent } from "./schema.ts";

export class Agents {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(row: NewAgent): Promise<void> {
    await this.#db.insertInto("agents").values(row).execute();
  }

  async byId(id: string): Promise<AgentRow | undefined> {
    return await this.#db.selectFrom("agents").selectAll().where("id", "=", id).executeTakeFirst();
  }

  async byTokenHash(hash: string): Promise<AgentRow | undefined> {
    return await this.#db.selectFrom("agents").selectAll().where("token_hash", "=", hash).executeTakeFirst();
  }

  /** In the order they were created. */
  async ofWorkspace(workspaceId: string): Promise<AgentRow[]> {
    return await this.#db
      .selectFrom("agents")
      .selectAll()
      .where("workspace_id", "=", workspaceId)
      .orderBy("created_at")
      .orderBy("id")
      .execute();
  }

  async setToken(id: string, token: { generation: number; hash: string }, now: number): Promise<void> {
    await this.update(id, { token_generation: token.generation, token_hash: token.hash, updated_at: now });
  }

  /** Status fields as the agent session reports them; `id`, workspace and token stay. */
  async update(id: string, fields: Updateable<AgentsTable>): Promise<void> {
    await this.#db.updateTable("agents").set(fields).where("id", "=", id).execute();
  }
}
