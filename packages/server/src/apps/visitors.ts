/** Identifies the sender of a request to an app host by the session cookie of that host, or by a token in a header. */
import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { cookieValue } from "../auth/cookies.ts";
import { equalDigests, hashSecret, parseUserToken } from "../auth/tokens.ts";
import type { WallClock } from "../base/clock.ts";
import { Recent } from "../base/recent.ts";
import { isUniqueViolation } from "../db/dialect.ts";
import type { ApiKeyRow, WorkspaceProxyRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { Visitor } from "./decision.ts";
import { headerToken } from "./header-token.ts";
import type { VisitorIdentity } from "./headers.ts";
import { TICKET_LIFETIME_MS, type TicketHolder } from "./tickets.ts";

const SESSION_BYTES = 32;
const SESSION_LIFETIME_MS = 86_400_000;
const MAX_SESSIONS_PER_KEY = 256;

export interface FoundVisitor {
  readonly visitor: Visitor;
  readonly identity: VisitorIdentity;
  /** When these credentials expire unless they are renewed. */
  readonly endsAt: number;
}

export class Visitors {
  readonly #store: Store;
  readonly #clock: WallClock;
  readonly #found: Recent<FoundVisitor>;

  /** @param now In milliseconds; monotonic. */
  constructor(store: Store, clock: WallClock, now: () => number) {
    this.#store = store;
    this.#clock = clock;
    this.#found = new Recent(now);
  }

  /** Call after a login, a user or a session ended. */
  forget(): void {
    this.#found.forget();
  }

  /**
   * Identifies a visitor by a token in a header, which a page of another origin cannot send. "invalid" if the token is refused.
   */
  async byHeader(headers: IncomingHttpHeaders): Promise<FoundVisitor | "invalid" | undefined> {
    const text = headerToken(headers);
    return text === undefined ? undefined : ((await this.byToken(text)) ?? "invalid");
  }

  /** Identifies a visitor by a login or API token, including one that is valid only for apps. */
  async byToken(text: string): Promise<FoundVisitor | undefined> {
    const token = parseUserToken(text);
    if (token === undefined) return undefined;
    const digest = hashSecret(token.secret);
    const found = await this.#found.get(`token ${token.id} ${digest}`, async () => {
      const key = await this.#store.apiKeys.byId(token.id);
      return key === undefined || !equalDigests(digest, key.secret_hash) ? undefined : await this.#holder(key);
    });
    return this.#unexpired(found);
  }

  /** @param host In lower case, without a port: a session is valid at its own host only. */
  async byCookie(cookie: string | undefined, name: string, host: string): Promise<FoundVisitor | undefined> {
    const id = cookieValue(cookie, name);
    return id === undefined || id === "" ? undefined : await this.bySession(id, host);
  }

  /** @param id The value of the session cookie. @param place The host, or a host of a proxy as {@link placeAt} writes it. */
  async bySession(id: string, place: string): Promise<FoundVisitor | undefined> {
    const hash = hashSecret(id);
    return this.#unexpired(await this.#found.get(`session ${place} ${hash}`, () => this.#bySession(hash, place)));
  }

  async #bySession(hash: string, host: string): Promise<FoundVisitor | undefined> {
    const session = await this.#store.appSessions.byHash(hash);
    if (session === undefined || session.host !== host || session.expires_at <= this.#clock.now()) return undefined;
    const key = await this.#store.apiKeys.byId(session.key_id);
    const found = key === undefined || key.user_id !== session.user_id ? undefined : await this.#holder(key);
    return found === undefined ? undefined : { ...found, endsAt: Math.min(found.endsAt, session.expires_at) };
  }

  /** Whether the visitor's credentials still hold. */
  async current(visitor: Pick<Visitor, "keyId">): Promise<Visitor | undefined> {
    const key = await this.#store.apiKeys.byId(visitor.keyId);
    return key === undefined ? undefined : (await this.#holder(key))?.visitor;
  }

  /**
   * Begins a session at one place. Returns the value of its cookie; undefined if the login has ended, or a session with this id
   * exists.
   */
  async begin(
    { userId, keyId }: TicketHolder,
    place: string,
    id = randomBytes(SESSION_BYTES).toString("base64url"),
  ): Promise<{ id: string; maxAgeSeconds: number; visitor: Visitor } | undefined> {
    const now = this.#clock.now();
    const key = await this.#store.apiKeys.byId(keyId);
    const found = key === undefined ? undefined : await this.#holder(key);
    if (found === undefined || found.visitor.userId !== userId) return undefined;
    const row = {
      id_hash: hashSecret(id),
      key_id: keyId,
      user_id: userId,
      host: place,
      created_at: now,
      expires_at: now + SESSION_LIFETIME_MS,
    };
    try {
      await this.#store.transaction(({ appSessions }) =>
        appSessions.insert(row, MAX_SESSIONS_PER_KEY, TICKET_LIFETIME_MS),
      );
    } catch (error) {
      if (isUniqueViolation(error)) return undefined;
      throw error;
    }
    return { id, maxAgeSeconds: SESSION_LIFETIME_MS / 1000, visitor: found.visitor };
  }

  #unexpired(found: FoundVisitor | undefined): FoundVisitor | undefined {
    return found !== undefined && found.endsAt > this.#clock.now() ? found : undefined;
  }

  async #holder(key: ApiKeyRow): Promise<FoundVisitor | undefined> {
    if (key.expires_at <= this.#clock.now()) return undefined;
    const user = await this.#store.users.byId(key.user_id);
    if (user === undefined || user.status !== "active") return undefined;
    const { id, username, email, role } = user;
    return {
      visitor: { userId: id, keyId: key.id, role },
      identity: { id, username, email },
      endsAt: key.expires_at,
    };
  }
}

/**
 * The place of a session at a host of a workspace proxy; the session ends with the proxy's token. Host names contain no space.
 */
export function placeAt({ id, token_generation }: WorkspaceProxyRow, host: string): string {
  return `${host} ${id} ${token_generation}`;
}
