import type { Kysely } from "kysely";
import { byCodePoint } from "./dialect.ts";
import type { Database, PortShareRow } from "./schema.ts";

/** Names one share. */
export type PortShareKey = Pick<PortShareRow, "workspace_id" | "agent_name" | "port">;

export class PortShares {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async find(key: PortShareKey): Promise<PortShareRow | undefined> {
    return await this.#db
      .selectFrom("port_shares")
      .selectAll()
      .where("workspace_id", "=", key.workspace_id)
      .where("agent_name", "=", key.agent_name)
      .where("port", "=", key.port)
      .executeTakeFirst();
  }

  async ofWorkspace(workspaceId: string): Promise<PortShareRow[]> {
    return await this.#db
      .selectFrom("port_shares")
      .selectAll()
      .where("workspace_id", "=", workspaceId)
      .orderBy(byCodePoint(this.#db, "agent_name"))
      .orderBy("port")
      .execute();
  }

  /** Adds a share or replaces the one of the same port. */
  async put(row: PortShareRow): Promise<void> {
    await this.#db
      .insertInto("port_shares")
      .values(row)
      .onConflict((conflict) => conflict.columns(["workspace_id", "agent_name", "port"]).doUpdateSet(row))
      .execute();
  }

  /** False when there was none. */
  async remove(key: PortShareKey): Promise<boolean> {
    const result = await this.#db
      .deleteFrom("port_shares")
      .where("workspace_id", "=", key.workspace_id)
      .where("agent_name", "=", key.agent_name)
      .where("port", "=", key.port)
      .executeTakeFirst();
    return result.numDeletedRows > 0n;
  }
}
