import { addressBlock } from "../base/address-block.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError } from "../base/domain-error.ts";
import { RateLimit } from "../base/rate-limit.ts";
import type { ApiKeyRow, UserRow } from "../db/schema.ts";
import type { Store, Tables } from "../db/store.ts";
import type { AccessChanges } from "./access-changes.ts";
import type { Audit } from "./audit.ts";
import type { Passwords } from "./passwords.ts";
import { formatUserToken, hashSecret, mintUserToken } from "./tokens.ts";

/** Login attempts per client address (per /64 for IPv6). */
const ATTEMPTS_PER_ADDRESS = { capacity: 60, periodMs: 60_000 };
/**
 * Wrong passwords per account, counted across all addresses, so that a botnet gets no more guesses. An attempt counts from its
 * beginning, or many at once would pass.
 */
const ATTEMPTS_PER_ACCOUNT = { capacity: 10, periodMs: 60_000 };
/** Keys that one user may have. A login beyond that is refused, rather than silently ending another. */
export const MAX_KEYS_PER_USER = 1000;

export interface IssuedKey {
  readonly row: ApiKeyRow;
  /** The complete token, which can be shown only now. */
  readonly token: string;
}

/**
 * What justifies a new key: the password that was checked, or the key that authenticated the request. It has to hold when the new
 * key is stored, or a key that is requested while another request ends all of them would outlive that end.
 */
export type Grounds = { readonly passwordHash: string } | { readonly keyId: string };

/** How long logins and API tokens are valid. */
export interface Lifetimes {
  readonly sessionDurationMs: number;
  readonly defaultTokenLifetimeMs: number;
  readonly maxTokenLifetimeMs: number;
}

/** Issues and revokes users' tokens. */
export class Sessions {
  readonly #store: Store;
  readonly #passwords: Passwords;
  readonly #changes: AccessChanges;
  readonly #audit: Audit;
  readonly #lifetimes: Lifetimes;
  readonly #clock: WallClock;
  readonly #perAddress: RateLimit;
  readonly #perAccount: RateLimit;

  constructor(options: {
    store: Store;
    passwords: Passwords;
    accessChanges: AccessChanges;
    audit: Audit;
    lifetimes: Lifetimes;
    clock: WallClock;
    /** The number of servers that accept logins; each gets its share of the attempts. */
    servers: () => number;
  }) {
    const { servers } = options;
    this.#perAddress = new RateLimit({ ...ATTEMPTS_PER_ADDRESS, servers });
    this.#perAccount = new RateLimit({ ...ATTEMPTS_PER_ACCOUNT, servers });
    this.#store = options.store;
    this.#passwords = options.passwords;
    this.#changes = options.accessChanges;
    this.#audit = options.audit;
    this.#lifetimes = options.lifetimes;
    this.#clock = options.clock;
  }

  /**
   * Checks a password. An unknown e-mail address, a wrong password and a suspended account give the same text after the same
   * time.
   */
  async login(
    credentials: { email: string; password: string },
    clientAddress: string,
  ): Promise<{ user: UserRow; key: IssuedKey }> {
    const refused = (why: string): void =>
      this.#audit.record({
        action: "login-refused",
        address: clientAddress,
        facts: { email: credentials.email, why },
      });
    try {
      this.#takeAttempt(credentials.email, clientAddress);
    } catch (error) {
      refused("too many attempts");
      throw error;
    }
    const user = await this.#store.users.byEmail(credentials.email);
    const valid = await this.#passwords.verify(credentials.password, user?.password_hash);
    if (user === undefined || !valid || user.status !== "active") {
      refused(user === undefined ? "no such user" : valid ? "the user is suspended" : "wrong password");
      throw new DomainError("unauthenticated", "Incorrect email or password");
    }
    this.#wasNoGuess(credentials.email);
    const key = await this.issueSession(user, { passwordHash: user.password_hash }).catch((error: unknown) => {
      if (error instanceof GroundsGone) throw new DomainError("unauthenticated", "Incorrect email or password");
      throw error;
    });
    this.#audit.record({ action: "login", address: clientAddress, by: user, facts: { key_id: key.row.id } });
    return { user, key };
  }

  /** Whether this is the user's password. Counts as a login attempt, so a stolen session cannot be used to guess it. */
  async confirmPassword(user: UserRow, password: string, clientAddress: string): Promise<boolean> {
    this.#takeAttempt(user.email, clientAddress);
    const valid = await this.#passwords.verify(password, user.password_hash);
    if (valid) this.#wasNoGuess(user.email);
    else this.#audit.record({ action: "password-refused", address: clientAddress, by: user });
    return valid;
  }

  /** Issues the key of a login, which is valid for the session duration after its last use. */
  async issueSession(user: UserRow, grounds: Grounds): Promise<IssuedKey> {
    return await this.#issue(user, grounds, {
      loginType: "password",
      tokenName: "",
      lifetimeMs: this.#lifetimes.sessionDurationMs,
      scope: "all",
    });
  }

  /** Issues an API token. Throws DomainError for a lifetime over the limit or a name in use. */
  async issueToken(
    user: UserRow,
    request: { name: string; lifetimeMs: number | undefined; scope?: ApiKeyRow["scope"] },
    grounds: Grounds,
  ): Promise<IssuedKey> {
    const lifetimeMs = request.lifetimeMs ?? this.#lifetimes.defaultTokenLifetimeMs;
    if (lifetimeMs > this.#lifetimes.maxTokenLifetimeMs) {
      throw new DomainError("invalid", "Failed to validate create API key request.", {
        detail: `lifetime must be less than ${this.#lifetimes.maxTokenLifetimeMs / 3_600_000}h`,
      });
    }
    const name = request.name === "" ? `token-${mintUserToken().id.toLowerCase()}` : request.name;
    const namesake = await this.#store.apiKeys.byName(user.id, name);
    // The name of an expired token may be reused; a lookup by name finds the new token.
    if (namesake !== undefined && namesake.expires_at <= this.#clock.now()) {
      await this.#store.apiKeys.remove(namesake.id);
    } else if (namesake !== undefined) {
      throw new DomainError("taken", `A token with name "${name}" already exists.`, {
        validations: [{ field: "name", detail: "This value is already in use and should be unique." }],
      });
    }
    const scope = request.scope ?? "all";
    return await this.#issue(user, grounds, { loginType: "token", tokenName: name, lifetimeMs, scope });
  }

  /** Ends a key at once, along with its sockets. Returns false if there is none. */
  async revoke(key: { id: string; user_id: string }): Promise<boolean> {
    return await this.#changes.transaction(async ({ apiKeys }, ends) => {
      const removed = await apiKeys.remove(key.id);
      if (removed) ends({ kind: "key-revoked", keyId: key.id, userId: key.user_id });
      return removed;
    });
  }

  /** Like revoke, but keeps the row as a record. */
  async expire(key: { id: string; user_id: string }): Promise<void> {
    await this.#changes.transaction(async ({ apiKeys }, ends) => {
      await apiKeys.expire(key.id, this.#clock.now());
      ends({ kind: "key-revoked", keyId: key.id, userId: key.user_id });
    });
  }

  #takeAttempt(email: string, clientAddress: string): void {
    const now = this.#clock.now();
    // An address that has no attempts left takes none of an account, or it could lock the accounts of all.
    const waitMs =
      this.#perAddress.take(addressBlock(clientAddress), now) || this.#perAccount.take(email.toLowerCase(), now);
    if (waitMs > 0) {
      throw new DomainError("too-many", "Too many login attempts", {
        retryAfterSeconds: Math.ceil(waitMs / 1000),
      });
    }
  }

  /** Who knows the password learns nothing by it. For the address the attempt counts, because checking costs the server time. */
  #wasNoGuess(email: string): void {
    this.#perAccount.giveBack(email.toLowerCase());
  }

  async #issue(
    user: UserRow,
    grounds: Grounds,
    options: { loginType: "password" | "token"; tokenName: string; lifetimeMs: number; scope: ApiKeyRow["scope"] },
  ): Promise<IssuedKey> {
    const now = this.#clock.now();
    const token = mintUserToken();
    const row: ApiKeyRow = {
      id: token.id,
      user_id: user.id,
      secret_hash: hashSecret(token.secret),
      login_type: options.loginType,
      scope: options.scope,
      token_name: options.tokenName,
      lifetime_seconds: Math.max(1, Math.floor(options.lifetimeMs / 1000)),
      created_at: now,
      updated_at: now,
      last_used: now,
      expires_at: now + options.lifetimeMs,
    };
    await this.#store.transaction(async ({ users, apiKeys }) => {
      await users.lock(user.id);
      if (!(await stillHolds(grounds, user.id, { users, apiKeys }, now))) throw new GroundsGone();
      if ((await apiKeys.countOf(user.id)) >= MAX_KEYS_PER_USER) {
        await apiKeys.removeExpiredBefore(now);
        if ((await apiKeys.countOf(user.id)) >= MAX_KEYS_PER_USER) throw tooManyKeys();
      }
      await apiKeys.insert(row);
    });
    return { row, token: formatUserToken(token) };
  }
}

/** The key or password that justified a new key was ended while it was issued. */
class GroundsGone extends DomainError {
  constructor() {
    super("unauthenticated", "The session token is invalid");
  }
}

async function stillHolds(
  grounds: Grounds,
  userId: string,
  { users, apiKeys }: Pick<Tables, "users" | "apiKeys">,
  now: number,
): Promise<boolean> {
  const user = await users.byId(userId);
  if (user === undefined) return false;
  if ("passwordHash" in grounds) return user.password_hash === grounds.passwordHash;
  const key = await apiKeys.byId(grounds.keyId);
  return key !== undefined && key.expires_at > now;
}

function tooManyKeys(): DomainError {
  return new DomainError("limit-reached", `A user may have at most ${MAX_KEYS_PER_USER} tokens; remove one first`);
}
