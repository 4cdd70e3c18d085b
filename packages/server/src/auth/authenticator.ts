import type { IncomingMessage } from "node:http";
import { CSRF_HEADER, SESSION_TOKEN_COOKIE, SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import type { WallClock } from "../base/clock.ts";
import { DomainError } from "../base/domain-error.ts";
import { isServedAsUpgrade } from "../base/served-upgrades.ts";
import { senderIsKnown } from "../base/unknown-senders.ts";
import type { AgentRow, ApiKeyRow, UserRow, WorkspaceRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { AccessEvents, AccessHolder, AccessMoment, DecidedHolder } from "./access-events.ts";
import { isCsrfProof } from "./csrf.ts";
import { mayReadWithCookie } from "./fetch-metadata.ts";
import type { Hosts } from "./hosts.ts";
import { loginCookie } from "./login-cookie.ts";
import { equalDigests, hashSecret, isAgentToken, parseUserToken } from "./tokens.ts";

/** An agent that may not connect now is asked to retry after this time. */
const AGENT_RETRY_S = 5;
/** Minimum time between two writes of a key's last use, so that a busy client does not cost a commit per request. */
const RECORD_USE_EVERY_MS = 60_000;
/** Keys whose last use is remembered; beyond that all are forgotten. */
const MAX_RECORDED = 10_000;

/** Where a request carried its token. */
export type TokenSource = "cookie" | "header" | "query";

export interface AuthenticatedUser {
  readonly user: UserRow;
  readonly key: ApiKeyRow;
  readonly source: TokenSource;
  /** The token that authenticated the request. */
  readonly token: string;
  /** Before anything was read. */
  readonly decidedAfter: AccessMoment;
}

export interface AuthenticatedAgent {
  readonly agent: AgentRow;
  readonly workspace: Pick<WorkspaceRow, "id" | "name">;
  readonly owner: Pick<UserRow, "id" | "username">;
}

export interface AuthenticateOptions {
  /**
   * Accepts a cookie without an Origin header on a WebSocket upgrade. Only for routes that stock Go clients follow with a cookie
   * and that only read logs; browsers always send Origin on an upgrade.
   */
  readonly originOptional?: boolean;
  /**
   * Accepts the cookie when a person follows a link from another site. Only for routes that check for themselves what such a
   * request may do.
   */
  readonly navigation?: boolean;
  /** The CSRF proof, where a form carries it instead of the header. */
  readonly csrfProof?: string;
  /** The request is for a program of a workspace, which has to protect itself: no CSRF proof is required. */
  readonly forProgram?: boolean;
}

/**
 * Decides who sent a request. Fails closed: anything unexpected is a 401. The answer does not say why a token was refused, except
 * that it is invalid or expired.
 */
export class Authenticator {
  readonly #store: Store;
  readonly #csrfKey: Uint8Array;
  readonly #hosts: Hosts;
  readonly #secureCookies: () => boolean;
  readonly #clock: WallClock;
  readonly #events: Pick<AccessEvents, "moment">;
  /** When the use of a key was last recorded here. */
  readonly #recorded = new Map<string, number>();

  constructor(options: {
    store: Store;
    csrfKey: Uint8Array;
    hosts: Hosts;
    /** Whether browsers reach the deployment over https. */
    secureCookies: () => boolean;
    clock: WallClock;
    events: Pick<AccessEvents, "moment">;
  }) {
    this.#store = options.store;
    this.#csrfKey = options.csrfKey;
    this.#hosts = options.hosts;
    this.#secureCookies = options.secureCookies;
    this.#clock = options.clock;
    this.#events = options.events;
  }

  /**
   * The user who sent the request. With a cookie, this also checks Origin on a WebSocket upgrade and the CSRF proof on a request
   * that changes state. Each use restarts the lifetime of a login.
   */
  async authenticateUser(
    request: IncomingMessage,
    options: AuthenticateOptions = {},
  ): Promise<AuthenticatedUser | DomainError> {
    const decidedAfter = this.#events.moment;
    const found = requestToken(request, this.#secureCookies());
    if (found === undefined)
      return unauthorized(`Cookie "${SESSION_TOKEN_COOKIE}" or header "${SESSION_TOKEN_HEADER}" must be provided`);
    const token = parseUserToken(found.token);
    if (token === undefined) return unauthorized("The session token is invalid");
    if (found.source === "cookie") {
      const refused = this.#refuseOrigin(request, options);
      if (refused !== undefined) return refused;
    }
    const known = await this.#store.lookups.key(token.id);
    // Hash before the lookup, so that an unknown id costs the same as a wrong secret.
    const digest = hashSecret(token.secret);
    if (known === undefined || !equalDigests(digest, known.key.secret_hash))
      return unauthorized("The session token is invalid");
    const { key, user } = known;
    const now = this.#clock.now();
    if (key.expires_at <= now) return unauthorized("The session token has expired");
    if (user === undefined) return unauthorized("The session token is invalid");
    if (user.status !== "active") return unauthorized("The account is suspended");
    if (key.scope !== "all") return new DomainError("forbidden", "This token may only be used for workspace apps");
    const proof = options.csrfProof ?? header(request, CSRF_HEADER);
    const needsProof = found.source === "cookie" && changesState(request) && options.forProgram !== true;
    if (needsProof && !isCsrfProof(this.#csrfKey, key.id, proof)) {
      return new DomainError("forbidden", `Header "${CSRF_HEADER}" must repeat the csrf_token cookie`);
    }
    await this.#recordUse(key, user, now);
    senderIsKnown(request);
    return { user, key, source: found.source, token: found.token, decidedAfter };
  }

  /**
   * The agent that sent the request. Its workspace must exist and be started. Origin is not checked, because an agent token is
   * never in a browser's cookie.
   */
  async authenticateAgent(request: IncomingMessage): Promise<AuthenticatedAgent | DomainError> {
    const found = requestToken(request, this.#secureCookies());
    if (found === undefined) return unauthorized("An agent token must be provided");
    if (!isAgentToken(found.token)) return unauthorized("The agent token is invalid");
    const digest = hashSecret(found.token.toLowerCase());
    const owned = await this.#store.lookups.agentOfToken(digest);
    if (owned === undefined || !equalDigests(digest, owned.agent.token_hash))
      return unauthorized("The agent token is invalid");
    const { agent, workspace, owner, transition } = owned;
    if (workspace.deleted_at !== null || owner === undefined) return unauthorized("The agent token is invalid");
    if (owner.status !== "active") return unauthorizedNow("The workspace's owner is suspended");
    if (transition !== "start") return unauthorizedNow("The workspace is stopped");
    senderIsKnown(request);
    return { agent, workspace, owner };
  }

  /** Whether the rights that an open socket depends on still hold. For periodic checks in addition to the events. */
  async stillHolds(holder: AccessHolder): Promise<boolean> {
    return (await this.held(holder)) !== undefined;
  }

  /** Like stillHolds, but returns the user and, if the socket is for a workspace or one of its agents, the workspace. */
  async held(holder: AccessHolder): Promise<{ user: UserRow; workspace: WorkspaceRow | undefined } | undefined> {
    const known = await this.#store.lookups.key(holder.keyId);
    if (known === undefined || known.key.expires_at <= this.#clock.now()) return undefined;
    const { user } = known;
    if (user === undefined || user.id !== holder.userId || user.status !== "active") return undefined;
    const { workspaceId, agentId } = holder;
    if (workspaceId === undefined && agentId === undefined) return { user, workspace: undefined };
    const workspace =
      workspaceId !== undefined
        ? await this.reachableWorkspace(user, workspaceId)
        : await this.reachableWorkspaceOf(user, agentId!);
    return workspace === undefined ? undefined : { user, workspace };
  }

  /** The workspace, if it is not deleted and `user` may see and use it: its owner, or an owner of the deployment. */
  async reachableWorkspace(user: UserRow, workspaceId: string): Promise<WorkspaceRow | undefined> {
    const workspace = await this.#store.workspaces.byId(workspaceId);
    return workspace !== undefined && mayReach(user, workspace) ? workspace : undefined;
  }

  /** The agent, if `user` may connect to it. Undefined does not reveal whether the agent exists. */
  async canReachAgent(user: UserRow, agentId: string): Promise<AgentRow | undefined> {
    const agent = await this.#store.agents.byId(agentId);
    if (agent === undefined) return undefined;
    return (await this.reachableWorkspace(user, agent.workspace_id)) === undefined ? undefined : agent;
  }

  /** The workspace of an agent that `user` may connect to; the same rule as canReachAgent. */
  async reachableWorkspaceOf(user: UserRow, agentId: string): Promise<WorkspaceRow | undefined> {
    const workspace = await this.#store.lookups.workspaceOf(agentId);
    return workspace !== undefined && mayReach(user, workspace) ? workspace : undefined;
  }

  #refuseOrigin(request: IncomingMessage, options: AuthenticateOptions): DomainError | undefined {
    const origin = request.headers.origin;
    const upgrade = isServedAsUpgrade(request);
    if (!mayReadWithCookie(request, options.navigation === true))
      return new DomainError("forbidden", "Requests with a cookie are not accepted from other sites");
    if (origin === undefined) {
      if (!upgrade || options.originOptional === true) return undefined;
      return new DomainError("forbidden", "A WebSocket with a cookie needs an Origin header");
    }
    if ((upgrade || changesState(request)) && !this.#hosts.isOurOrigin(origin, request)) {
      return new DomainError("forbidden", "Requests with a cookie are not accepted from other origins");
    }
    return undefined;
  }

  async #recordUse(key: ApiKeyRow, user: UserRow, now: number): Promise<void> {
    const everyMs = Math.min(RECORD_USE_EVERY_MS, (key.lifetime_seconds * 1000) / 10);
    const isDue = (usedAt: number): boolean => now - usedAt >= everyMs;
    // Many requests of one user that come together have all read the row before the first of them writes it.
    if (!isDue(key.last_used) || !isDue(this.#recorded.get(key.id) ?? Number.NEGATIVE_INFINITY)) return;
    if (this.#recorded.size >= MAX_RECORDED) this.#recorded.clear();
    this.#recorded.set(key.id, now);
    // Use extends a login; an API token expires when its creator said it would.
    const expiresAt =
      key.login_type === "password" ? Math.max(key.expires_at, now + key.lifetime_seconds * 1000) : key.expires_at;
    try {
      await this.#store.transaction(async ({ apiKeys, users }) => {
        await users.touch(user.id, now); // first, as everywhere: the lock of a user comes before that of their keys
        await apiKeys.recordUse(key.id, { lastUsed: now, expiresAt });
      });
    } catch (error) {
      this.#recorded.delete(key.id);
      throw error;
    }
  }
}

/** Like mayUse, for access through a connection, which a deleted workspace does not offer. */
function mayReach(user: UserRow, workspace: WorkspaceRow): boolean {
  return workspace.deleted_at === null && mayUse(user, workspace);
}

export function mayUse(user: UserRow, workspace: WorkspaceRow): boolean {
  return user.role === "owner" || workspace.owner_id === user.id;
}

export function holderOf(
  auth: AuthenticatedUser,
  concerns: Pick<AccessHolder, "workspaceId" | "agentId"> = {},
): AccessHolder {
  return { userId: auth.user.id, keyId: auth.key.id, ...concerns };
}

/** Like {@link holderOf}, for a socket that is open from now on: it ends if the right has ended during the decision. */
export function decidedHolderOf(
  auth: AuthenticatedUser,
  concerns: Pick<AccessHolder, "workspaceId" | "agentId"> = {},
): DecidedHolder {
  return { ...holderOf(auth, concerns), decidedAfter: auth.decidedAfter };
}

/**
 * The token of a request: from the cookie, the query, Coder-Session-Token or Authorization, in Coder's order. The first that is
 * present is used. The query is read only for upgrades, where a browser cannot set a header.
 */
function requestToken(
  request: IncomingMessage,
  secureCookies: boolean,
): { token: string; source: TokenSource } | undefined {
  const cookie = loginCookie(request, secureCookies);
  if (cookie !== undefined) return { token: cookie, source: "cookie" };
  const query = isServedAsUpgrade(request) ? new URLSearchParams((request.url ?? "").split("?")[1] ?? "") : undefined;
  const named = query?.get(SESSION_TOKEN_COOKIE);
  if (named !== undefined && named !== null && named !== "") return { token: named, source: "query" };
  const own = header(request, SESSION_TOKEN_HEADER);
  if (own !== undefined && own !== "") return { token: own, source: "header" };
  const bearer = /^bearer +(.+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (bearer !== undefined) return { token: bearer.trim(), source: "header" };
  const access = query?.get("access_token");
  if (access !== undefined && access !== null && access !== "") return { token: access, source: "query" };
  return undefined;
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  return Array.isArray(value) ? value[0] : value;
}

function changesState(request: IncomingMessage): boolean {
  return request.method !== "GET" && request.method !== "HEAD" && request.method !== "OPTIONS";
}

function unauthorized(message: string): DomainError {
  return new DomainError("unauthenticated", message);
}

/** The token is valid and will be accepted later: an agent that reads Retry-After waits instead of giving up. */
function unauthorizedNow(message: string): DomainError {
  return new DomainError("unauthenticated", message, { retryAfterSeconds: AGENT_RETRY_S });
}
