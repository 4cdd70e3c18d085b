import type { Kysely } from "kysely";
import { inList } from "./dialect.ts";
import type { Database, ProxyAppGrantRow } from "./schema.ts";

export class ProxyAppGrants {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async byHash(idHash: string): Promise<ProxyAppGrantRow | undefined> {
    return await this.#db.selectFrom("proxy_app_grants").selectAll().where("id_hash", "=", idHash).executeTakeFirst();
  }

  /** The grants of a proxy that were renewed after `since`, the latest first; all of them, or only those for one agent. */
  async recent(proxyId: string, since: number, agentId?: string): Promise<ProxyAppGrantRow[]> {
    let query = this.#db
      .selectFrom("proxy_app_grants")
      .selectAll()
      .where("proxy_id", "=", proxyId)
      .where("renewed_at", ">", since);
    if (agentId !== undefined) query = query.where("agent_id", "=", agentId);
    return await query.orderBy("renewed_at", "desc").execute();
  }

  /**
   * Those of `agentIds` for which the proxy has a grant that was renewed after `since`.
   * @param users Only grants to one of these users, or for a workspace of one of them.
   */
  async agents(
    proxyId: string,
    since: number,
    agentIds: readonly string[],
    users?: readonly string[],
  ): Promise<ReadonlySet<string>> {
    let query = this.#db
      .selectFrom("proxy_app_grants")
      .select("agent_id")
      .distinct()
      .where("proxy_id", "=", proxyId)
      .where("renewed_at", ">", since)
      .where("agent_id", "in", inList(this.#db, agentIds));
    if (users !== undefined)
      query = query.where(({ eb, or }) =>
        or([eb("user_id", "in", inList(this.#db, users)), eb("owner_id", "in", inList(this.#db, users))]),
      );
    return new Set((await query.execute()).map(({ agent_id }) => agent_id));
  }

  /** Returns false if there is no grant with this id that was renewed after `since`. */
  async renew(idHash: string, since: number, now: number): Promise<boolean> {
    const renewed = await this.#db
      .updateTable("proxy_app_grants")
      .set({ renewed_at: now })
      .where("id_hash", "=", idHash)
      .where("renewed_at", ">", since)
      .executeTakeFirst();
    return renewed.numUpdatedRows > 0n;
  }

  /**
   * Adds or renews a grant. For the same proxy, login and agent, the oldest beyond `most` are removed. Call inside a transaction.
   */
  async put(row: ProxyAppGrantRow, most: number): Promise<void> {
    const kept = this.#db
      .selectFrom("proxy_app_grants")
      .select("id_hash")
      .where("proxy_id", "=", row.proxy_id)
      .where("agent_id", "=", row.agent_id)
      .where("key_id", "=", row.key_id)
      .orderBy("renewed_at", "desc")
      .limit(most - 1);
    await this.#db
      .deleteFrom("proxy_app_grants")
      .where("proxy_id", "=", row.proxy_id)
      .where("agent_id", "=", row.agent_id)
      .where("key_id", "=", row.key_id)
      .where("id_hash", "not in", kept)
      .execute();
    const { id_hash: _, ...renewed } = row;
    await this.#db
      .insertInto("proxy_app_grants")
      .values(row)
      .onConflict((conflict) => conflict.column("id_hash").doUpdateSet(renewed))
      .execute();
  }

  async remove(idHashes: readonly string[]): Promise<void> {
    if (idHashes.length === 0) return;
    await this.#db.deleteFrom("proxy_app_grants").where("id_hash", "in", inList(this.#db, idHashes)).execute();
  }

  async removeOfProxy(proxyId: string): Promise<void> {
    await this.#db.deleteFrom("proxy_app_grants").where("proxy_id", "=", proxyId).execute();
  }

  /** Removes grants that were last renewed before `before`. */
  async sweep(before: number): Promise<void> {
    await this.#db.deleteFrom("proxy_app_grants").where("renewed_at", "<", before).execute();
  }
}
