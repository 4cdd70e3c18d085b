import type { ConnectionPolicy } from "coder-protocol/rest/connection-policy";
import type { Kysely } from "kysely";
import { inList, isOneOf, lockOnly } from "./dialect.ts";
import type { Database, NewUser, Role, UserRow } from "./schema.ts";

export class Users {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(user: Omit<NewUser, "email_key" | "username_key">): Promise<void> {
    await this.#db
      .insertInto("users")
      .values({ ...user, email_key: key(user.email), username_key: key(user.username) })
      .execute();
  }

  async count(): Promise<number> {
    const row = await this.#live()
      .select((build) => build.fn.countAll<number>().as("count"))
      .executeTakeFirst();
    return Number(row?.count ?? 0);
  }

  async byId(id: string): Promise<UserRow | undefined> {
    return await this.#live().selectAll().where("id", "=", id).executeTakeFirst();
  }

  /** Like byId, for several users. */
  async byIds(ids: readonly string[]): Promise<ReadonlyMap<string, UserRow>> {
    const rows = await this.#live()
      .selectAll()
      .where(isOneOf(this.#db, "id", ids))
      .execute();
    return new Map(rows.map((row) => [row.id, row]));
  }

  /** What others see of users, by id. Deleted users are included, because builds still name their initiator. */
  async shownOf(ids: readonly string[]): Promise<Map<string, Pick<UserRow, "id" | "username" | "connection_policy">>> {
    const rows = await this.#db
      .selectFrom("users")
      .select(["id", "username", "connection_policy"])
      .where("id", "in", inList(this.#db, ids))
      .execute();
    return new Map(rows.map((row) => [row.id, row]));
  }

  /** Until the transaction ends, no other one can change what belongs to the user. */
  async lock(id: string): Promise<void> {
    await lockOnly(this.#db, this.#db.selectFrom("users").select("id").where("id", "=", id));
  }

  async byUsername(username: string): Promise<UserRow | undefined> {
    return await this.#live().selectAll().where("username_key", "=", key(username)).executeTakeFirst();
  }

  async byEmail(email: string): Promise<UserRow | undefined> {
    return await this.#live().selectAll().where("email_key", "=", key(email)).executeTakeFirst();
  }

  /** Oldest first. `search` matches a part of the user name or e-mail address. */
  async list(filter: { search: string; limit: number; offset: number }): Promise<{ users: UserRow[]; count: number }> {
    const pattern = `%${key(filter.search).replace(/[\\%_]/g, "")}%`;
    const matching = this.#live().where((where) =>
      where.or([where("username_key", "like", pattern), where("email_key", "like", pattern)]),
    );
    const users = await matching
      .selectAll()
      .orderBy("created_at")
      .orderBy("id")
      .limit(filter.limit)
      .offset(filter.offset)
      .execute();
    const total = await matching.select((build) => build.fn.countAll<number>().as("count")).executeTakeFirst();
    return { users, count: Number(total?.count ?? 0) };
  }

  async activeOwnerCount(): Promise<number> {
    const row = await this.#live()
      .where("role", "=", "owner")
      .where("status", "=", "active")
      .select((build) => build.fn.countAll<number>().as("count"))
      .executeTakeFirst();
    return Number(row?.count ?? 0);
  }

  async setPassword(id: string, passwordHash: string, now: number): Promise<void> {
    await this.#db
      .updateTable("users")
      .set({ password_hash: passwordHash, updated_at: now })
      .where("id", "=", id)
      .execute();
  }

  async setProfile(id: string, profile: { username: string; name: string }, now: number): Promise<void> {
    await this.#db
      .updateTable("users")
      .set({ ...profile, username_key: key(profile.username), updated_at: now })
      .where("id", "=", id)
      .execute();
  }

  async setStatus(id: string, status: "active" | "suspended", now: number): Promise<void> {
    await this.#db.updateTable("users").set({ status, updated_at: now }).where("id", "=", id).execute();
  }

  async setRole(id: string, role: Role, now: number): Promise<void> {
    await this.#db.updateTable("users").set({ role, updated_at: now }).where("id", "=", id).execute();
  }

  async setConnectionPolicy(id: string, policy: ConnectionPolicy, now: number): Promise<void> {
    await this.#db
      .updateTable("users")
      .set({ connection_policy: policy, updated_at: now })
      .where("id", "=", id)
      .execute();
  }

  async touch(id: string, now: number): Promise<void> {
    await this.#db.updateTable("users").set({ last_seen_at: now }).where("id", "=", id).execute();
  }

  /** Keeps the row, because builds refer to it, and frees name and e-mail address. */
  async markDeleted(id: string, now: number): Promise<void> {
    await this.#db
      .updateTable("users")
      .set({
        deleted_at: now,
        updated_at: now,
        email_key: `deleted:${id}`,
        username_key: `deleted:${id}`,
        password_hash: "",
      })
      .where("id", "=", id)
      .execute();
  }

  #live() {
    return this.#db.selectFrom("users").where("deleted_at", "is", null);
  }
}

function key(text: string): string {
  return text.toLowerCase();
}
