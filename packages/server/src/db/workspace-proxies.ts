import type { Kysely } from "kysely";
import { byCodePoint, lockRow } from "./dialect.ts";
import type { Database, WorkspaceProxyReplicaRow, WorkspaceProxyRow } from "./schema.ts";

export class WorkspaceProxies {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** All proxies that are not deleted, by name. */
  async all(): Promise<WorkspaceProxyRow[]> {
    return await this.#db
      .selectFrom("workspace_proxies")
      .selectAll()
      .where("deleted_at", "is", null)
      .orderBy(byCodePoint(this.#db, "name_key"))
      .execute();
  }

  /** Does not find a deleted one. */
  async byId(id: string): Promise<WorkspaceProxyRow | undefined> {
    return await this.#db
      .selectFrom("workspace_proxies")
      .selectAll()
      .where("id", "=", id)
      .where("deleted_at", "is", null)
      .executeTakeFirst();
  }

  /** Like byId, but nothing else can change the row until the transaction ends. */
  async locked(id: string): Promise<WorkspaceProxyRow | undefined> {
    const query = this.#db
      .selectFrom("workspace_proxies")
      .selectAll()
      .where("id", "=", id)
      .where("deleted_at", "is", null);
    return await lockRow(this.#db, query).executeTakeFirst();
  }

  async byName(name: string): Promise<WorkspaceProxyRow | undefined> {
    return await this.#db
      .selectFrom("workspace_proxies")
      .selectAll()
      .where("name_key", "=", name.toLowerCase())
      .executeTakeFirst();
  }

  /** One more than the largest number ever used. Call after Settings.lockDeployment, or two proxies may get the same number. */
  async nextRegionNumber(): Promise<number> {
    const row = await this.#db
      .selectFrom("workspace_proxies")
      .select((select) => select.fn.max("region_number").as("largest"))
      .executeTakeFirst();
    return Number(row?.largest ?? 0) + 1;
  }

  async insert(row: WorkspaceProxyRow): Promise<void> {
    await this.#db.insertInto("workspace_proxies").values(row).execute();
  }

  async update(id: string, columns: Partial<Omit<WorkspaceProxyRow, "id" | "region_number">>): Promise<void> {
    await this.#db.updateTable("workspace_proxies").set(columns).where("id", "=", id).execute();
  }

  /**
   * Claims the next check of a proxy: of several servers that know the same last check, only one succeeds.
   * @param seen The row's `check_claimed_at`.
   */
  async claimCheck(id: string, seen: number, now: number): Promise<boolean> {
    const result = await this.#db
      .updateTable("workspace_proxies")
      .set({ check_claimed_at: Math.max(now, seen + 1) })
      .where("id", "=", id)
      .where("deleted_at", "is", null)
      .where("check_claimed_at", "=", seen)
      .executeTakeFirst();
    return result.numUpdatedRows > 0n;
  }

  /** Its processes that registered after `since` and have not stopped, in the order of their starts. */
  async replicas(proxyId: string, since: number): Promise<WorkspaceProxyReplicaRow[]> {
    return await this.#db
      .selectFrom("workspace_proxy_replicas")
      .selectAll()
      .where("proxy_id", "=", proxyId)
      .where("stopped_at", "is", null)
      .where("updated_at", ">", since)
      .orderBy("started_at")
      .orderBy("id")
      .execute();
  }

  async replica(id: string): Promise<WorkspaceProxyReplicaRow | undefined> {
    return await this.#db.selectFrom("workspace_proxy_replicas").selectAll().where("id", "=", id).executeTakeFirst();
  }

  /** Adds the process, or updates its row. */
  async putReplica(row: WorkspaceProxyReplicaRow): Promise<void> {
    const { id: _, started_at: __, ...renewed } = row;
    await this.#db
      .insertInto("workspace_proxy_replicas")
      .values(row)
      .onConflict((conflict) => conflict.column("id").doUpdateSet(renewed))
      .execute();
  }

  /** Marks the process as ended; a late registration does not bring it back. */
  async stopReplica(id: string, now: number): Promise<void> {
    await this.#db.updateTable("workspace_proxy_replicas").set({ stopped_at: now }).where("id", "=", id).execute();
  }

  /** Removes all processes of the proxy: one that is still running has to register again, with the token that is then valid. */
  async removeReplicas(proxyId: string): Promise<void> {
    await this.#db.deleteFrom("workspace_proxy_replicas").where("proxy_id", "=", proxyId).execute();
  }

  /** Removes processes that last registered before `before`, and of the rest all but the newest `keep`. */
  async forgetReplicas(proxyId: string, before: number, keep: number): Promise<void> {
    await this.#db
      .deleteFrom("workspace_proxy_replicas")
      .where("proxy_id", "=", proxyId)
      .where((where) =>
        where.or([
          where("updated_at", "<", before),
          where(
            "id",
            "not in",
            this.#db
              .selectFrom("workspace_proxy_replicas")
              .select("id")
              .where("proxy_id", "=", proxyId)
              .orderBy("updated_at", "desc")
              .limit(keep),
          ),
        ]),
      )
      .execute();
  }
}
