import type { Kysely } from "kysely";
import { isOneOf } from "./dialect.ts";
import type { ApiKeyRow, Database, NewApiKey, UserRow } from "./schema.ts";

export interface KeyWithUser {
  readonly key: ApiKeyRow;
  /** Undefined if the user was deleted. */
  readonly user: UserRow | undefined;
}

export class ApiKeys {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(row: NewApiKey): Promise<void> {
    await this.#db.insertInto("api_keys").values(row).execute();
  }

  async byId(id: string): Promise<ApiKeyRow | undefined> {
    return await this.#db.selectFrom("api_keys").selectAll().where("id", "=", id).executeTakeFirst();
  }

  /** Keys with their users, by the id of the key. */
  async withUsers(ids: readonly string[]): Promise<ReadonlyMap<string, KeyWithUser>> {
    const rows = await this.#db
      .selectFrom("api_keys as key")
      .innerJoin("users", "users.id", "key.user_id")
      .selectAll("users")
      .select(["key.id as key_id", "key.secret_hash", "key.login_type", "key.scope", "key.token_name"])
      .select(["key.lifetime_seconds", "key.last_used", "key.expires_at"])
      .select(["key.created_at as key_created_at", "key.updated_at as key_updated_at"])
      .where(isOneOf(this.#db, "key.id", ids))
      .execute();
    return new Map(
      rows.map((row) => {
        const { key_id, secret_hash, login_type, scope, token_name, lifetime_seconds, ...others } = row;
        const { last_used, expires_at, key_created_at, key_updated_at, ...user } = others;
        const key = {
          id: key_id,
          user_id: user.id,
          secret_hash,
          login_type,
          scope,
          token_name,
          lifetime_seconds,
          created_at: key_created_at,
          updated_at: key_updated_at,
          last_used,
          expires_at,
        };
        return [key_id, { key, user: user.deleted_at === null ? user : undefined }];
      }),
    );
  }

  async byName(userId: string, name: string): Promise<ApiKeyRow | undefined> {
    return await this.#db
      .selectFrom("api_keys")
      .selectAll()
      .where("user_id", "=", userId)
      .where("login_type", "=", "token")
      .where("token_name", "=", name)
      .executeTakeFirst();
  }

  /** API tokens, not logins; newest first. */
  async listTokens(filter: {
    userId: string | undefined;
    notExpiredAt: number | undefined;
    limit: number;
  }): Promise<(ApiKeyRow & { username: string })[]> {
    let query = this.#db
      .selectFrom("api_keys")
      .innerJoin("users", "users.id", "api_keys.user_id")
      .selectAll("api_keys")
      .select("users.username")
      .where("api_keys.login_type", "=", "token");
    if (filter.userId !== undefined) query = query.where("api_keys.user_id", "=", filter.userId);
    if (filter.notExpiredAt !== undefined) query = query.where("api_keys.expires_at", ">", filter.notExpiredAt);
    return await query.orderBy("api_keys.created_at", "desc").orderBy("api_keys.id").limit(filter.limit).execute();
  }

  /** Logins and API tokens; newest first. */
  async listAll(userId: string): Promise<ApiKeyRow[]> {
    return await this.#db
      .selectFrom("api_keys")
      .selectAll()
      .where("user_id", "=", userId)
      .orderBy("created_at", "desc")
      .orderBy("id")
      .execute();
  }

  async ids(userId: string): Promise<string[]> {
    const rows = await this.#db.selectFrom("api_keys").select("id").where("user_id", "=", userId).execute();
    return rows.map((row) => row.id);
  }

  async countOf(userId: string): Promise<number> {
    const row = await this.#db
      .selectFrom("api_keys")
      .select((build) => build.fn.countAll<number>().as("count"))
      .where("user_id", "=", userId)
      .executeTakeFirst();
    return Number(row?.count ?? 0);
  }

  /** Does nothing to a key that has ended meanwhile. */
  async recordUse(id: string, use: { lastUsed: number; expiresAt: number }): Promise<void> {
    await this.#db
      .updateTable("api_keys")
      .set({ last_used: use.lastUsed, expires_at: use.expiresAt, updated_at: use.lastUsed })
      .where("id", "=", id)
      .where("expires_at", ">", use.lastUsed)
      .execute();
  }

  async expire(id: string, now: number): Promise<void> {
    await this.#db.updateTable("api_keys").set({ expires_at: now, updated_at: now }).where("id", "=", id).execute();
  }

  /** The rows are kept for a while, so that another server notices their expiry and ends what depends on them. */
  async expireAllOf(userId: string, now: number): Promise<void> {
    await this.#db
      .updateTable("api_keys")
      .set({ expires_at: now, updated_at: now })
      .where("user_id", "=", userId)
      .where("expires_at", ">", now)
      .execute();
  }

  /** Keys that expired after `after` and not after `until`, earliest first. */
  async expiredBetween(
    after: number,
    until: number,
    limit: number,
  ): Promise<Pick<ApiKeyRow, "id" | "user_id" | "expires_at">[]> {
    return await this.#db
      .selectFrom("api_keys")
      .select(["id", "user_id", "expires_at"])
      .where("expires_at", ">", after)
      .where("expires_at", "<=", until)
      .orderBy("expires_at")
      .limit(limit)
      .execute();
  }

  async remove(id: string): Promise<boolean> {
    const result = await this.#db.deleteFrom("api_keys").where("id", "=", id).executeTakeFirst();
    return result.numDeletedRows > 0n;
  }

  async removeAllOf(userId: string): Promise<void> {
    await this.#db.deleteFrom("api_keys").where("user_id", "=", userId).execute();
  }

  /** Removes keys that expired before `time`; called periodically. */
  async removeExpiredBefore(time: number): Promise<number> {
    const result = await this.#db.deleteFrom("api_keys").where("expires_at", "<", time).executeTakeFirst();
    return Number(result.numDeletedRows);
  }
}
