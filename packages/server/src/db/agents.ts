import type { Kysely, Updateable } from "kysely";
import type { AgentRow, AgentsTable, Database, NewAgent } from "./schema.ts";

const MAX_IDS = 256;

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

  /** Those of them that are connected gave a sign of life. */
  async heard(ids: readonly string[], at: number): Promise<void> {
    for (let from = 0; from < ids.length; from += MAX_IDS) {
      await this.#db
        .updateTable("agents")
        .set({ last_connected_at: at })
        .where("id", "in", padded(ids.slice(from, from + MAX_IDS)))
        .where("disconnected_at", "is", null)
        .where("first_connected_at", "is not", null)
        .execute();
    }
  }
}

/** To a power of two by repetition: prepared statements are kept by their text, which should not be another for every number. */
function padded(ids: readonly string[]): string[] {
  const length = 2 ** Math.ceil(Math.log2(ids.length));
  return Array.from({ length }, (_, i) => ids[Math.min(i, ids.length - 1)]!);
}
