import type { Kysely } from "kysely";
import { byCodePoint } from "./dialect.ts";
import type { Database, PortShareRow } from "./schema.ts";

/** Identifies one share. */
export type PortShareKey = Pick<PortShareRow, "workspace_id" | "agent_name" | "port">;

export interface NamedShareRow extends PortShareRow {
  readonly workspace_name: string;
  readonly owner_name: string;
  readonly maker_name: string;
}

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

  /** The unexpired shares of all workspaces. */
  async all(now: number): Promise<NamedShareRow[]> {
    return await this.#db
      .selectFrom("port_shares")
      .innerJoin("workspaces", "workspaces.id", "port_shares.workspace_id")
      .innerJoin("users as owner", "owner.id", "workspaces.owner_id")
      .innerJoin("users as maker", "maker.id", "port_shares.created_by")
      .selectAll("port_shares")
      .select(["workspaces.name as workspace_name", "owner.username as owner_name", "maker.username as maker_name"])
      .where("workspaces.deleted_at", "is", null)
      .where((where) => where.or([where("expires_at", "is", null), where("expires_at", ">", now)]))
      .orderBy("owner.username_key")
      .orderBy("workspaces.name_key")
      .orderBy("port_shares.port")
      .execute();
  }

  /** Adds a share, or replaces the one for the same port. */
  async put(row: PortShareRow): Promise<void> {
    await this.#db
      .insertInto("port_shares")
      .values(row)
      .onConflict((conflict) => conflict.columns(["workspace_id", "agent_name", "port"]).doUpdateSet(row))
      .execute();
  }

  /** Returns false if there was none. */
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
