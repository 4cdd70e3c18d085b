import { randomUUID } from "node:crypto";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import { isUniqueViolation } from "../db/dialect.ts";
import type { NewUser, Role, UserRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { Users } from "../db/users.ts";
import type { AccessChanges } from "./access-changes.ts";
import type { Passwords } from "./passwords.ts";

export interface NewAccount {
  readonly email: string;
  readonly username: string;
  readonly name?: string | undefined;
  readonly password: string;
}

export interface AccountsOptions {
  readonly store: Store;
  readonly passwords: Passwords;
  readonly accessChanges: AccessChanges;
  readonly clock: WallClock;
}

/** User accounts and their roles. Every change is durable and published when its promise resolves. */
export class Accounts {
  readonly #options: AccountsOptions;

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  /** Creates the first user, who is an owner. Throws DomainError if a user exists. */
  async createFirst(account: NewAccount): Promise<UserRow> {
    const { store } = this.#options;
    if ((await store.users.count()) > 0) throw alreadyCreated();
    const row = await this.#newRow(account, "owner");
    await store.transaction(async ({ users, settings }) => {
      await settings.lockDeployment();
      // Checked again inside the transaction: two requests may have passed the first check.
      if ((await users.count()) > 0) throw alreadyCreated();
      await users.insert(row);
    });
    return await this.#stored(row.id);
  }

  async create(account: NewAccount, as: { role: Role; status: UserRow["status"] }): Promise<UserRow> {
    const row = await this.#newRow(account, as.role);
    const { store } = this.#options;
    try {
      await store.transaction(async ({ users }) => {
        if ((await users.byUsername(account.username)) !== undefined) throw taken("username");
        if ((await users.byEmail(account.email)) !== undefined) throw taken("email");
        await users.insert({ ...row, status: as.status });
      });
    } catch (error) {
      // Another server stored that name in the meantime.
      if (!isUniqueViolation(error)) throw error;
      throw taken((await store.users.byUsername(account.username)) === undefined ? "email" : "username");
    }
    return await this.#stored(row.id);
  }

  /** Refuses the caller's own account and a user with workspaces. */
  async delete(target: UserRow, by: UserRow): Promise<void> {
    const { accessChanges, clock } = this.#options;
    if (target.id === by.id) throw new DomainError("forbidden", "You cannot delete yourself!");
    await accessChanges.transaction(async ({ users, apiKeys, workspaces }, ends) => {
      await users.lock(target.id);
      if ((await workspaces.countOf(target.id)) > 0) {
        throw new DomainError(
          "has-workspaces",
          "You cannot delete a user that has workspaces. Delete their workspaces and try again!",
        );
      }
      await apiKeys.removeAllOf(target.id);
      await users.markDeleted(target.id, clock.now());
      ends({ kind: "user-gone", userId: target.id });
    });
  }

  async suspend(target: UserRow, by: UserRow): Promise<UserRow> {
    const { accessChanges, clock } = this.#options;
    if (target.id === by.id) throw new DomainError("invalid", "You cannot suspend yourself.");
    await accessChanges.transaction(async ({ users, settings }, ends) => {
      await settings.lockDeployment();
      await refuseLastOwner(target, users);
      await users.setStatus(target.id, "suspended", clock.now());
      ends({ kind: "user-gone", userId: target.id });
    });
    return await this.#stored(target.id);
  }

  async activate(target: UserRow): Promise<UserRow> {
    await this.#options.store.users.setStatus(target.id, "active", this.#options.clock.now());
    return await this.#stored(target.id);
  }

  async setRole(target: UserRow, role: Role, by: UserRow): Promise<UserRow> {
    const { accessChanges, clock } = this.#options;
    if (target.id === by.id) throw new DomainError("invalid", "You cannot change your own roles.");
    await accessChanges.transaction(async ({ users, settings }, ends) => {
      await settings.lockDeployment();
      if (role !== "owner") await refuseLastOwner(target, users);
      await users.setRole(target.id, role, clock.now());
      if (role !== target.role) ends({ kind: "role-changed", userId: target.id });
    });
    return await this.#stored(target.id);
  }

  /** Renames a user. Links and host names with the old name stop working; what the user owns and may do is unchanged. */
  async setProfile(target: UserRow, profile: { username: string; name: string }): Promise<UserRow> {
    try {
      await this.#options.store.transaction(async ({ users }) => {
        const namesake = await users.byUsername(profile.username);
        if (namesake !== undefined && namesake.id !== target.id) throw taken("username");
        await users.setProfile(target.id, profile, this.#options.clock.now());
      });
    } catch (error) {
      throw isUniqueViolation(error) ? taken("username") : error;
    }
    return await this.#stored(target.id);
  }

  /** Sets a password and ends every login and token of the user. */
  async setPassword(target: UserRow, password: string): Promise<void> {
    const { accessChanges, passwords, clock } = this.#options;
    const hash = await passwords.hash(password);
    await accessChanges.transaction(async ({ users, apiKeys }, ends) => {
      await users.lock(target.id); // no key is stored between the list and the removal
      for (const keyId of await apiKeys.ids(target.id)) ends({ kind: "key-revoked", keyId, userId: target.id });
      await users.setPassword(target.id, hash, clock.now());
      await apiKeys.removeAllOf(target.id);
    });
  }

  async #newRow(account: NewAccount, role: Role): Promise<Omit<NewUser, "email_key" | "username_key">> {
    const hash = await this.#options.passwords.hash(account.password);
    const now = this.#options.clock.now();
    return {
      id: randomUUID(),
      email: account.email,
      username: account.username,
      name: account.name ?? "",
      password_hash: hash,
      role,
      status: "active",
      created_at: now,
      updated_at: now,
      last_seen_at: null,
      deleted_at: null,
    };
  }

  async #stored(id: string): Promise<UserRow> {
    const row = await this.#options.store.users.byId(id);
    if (row === undefined) throw notFound();
    return row;
  }
}

/**
 * Refuses to take away the last active owner. Call inside a transaction that holds the deployment's lock, because two owners may
 * suspend each other at the same time.
 */
async function refuseLastOwner(target: UserRow, users: Users): Promise<void> {
  if (target.role !== "owner" || target.status !== "active") return;
  if ((await users.activeOwnerCount()) <= 1) {
    throw new DomainError("invalid", "This is the last active owner of the deployment");
  }
}

function alreadyCreated(): DomainError {
  return new DomainError("invalid", "The initial user has already been created.");
}

function taken(field: string): DomainError {
  return new DomainError("taken", "User already exists.", {
    validations: [{ field, detail: "This value is already in use and should be unique." }],
  });
}
