/**
 * Keeps the primary's recent answers about visitors of apps: a page requests hundreds of files, and each needs the same right. A
 * grant is kept by app and visitor's credential while its token is valid, but at most for a minute. The answer that a visitor has
 * to sign in is kept for a second, because any stranger can cause such questions.
 */
import { createHash } from "node:crypto";
import type { IssueAppTokenRequest } from "coder-protocol/rest/proxy-apps";
import type { Instant } from "wg-userspace/base/instant";
import { APP_TOKEN_LIFE_MS, type AppTokenClaims } from "../../base/app-token.ts";
import type { AppTokens, IssuedRight } from "./app-tokens.ts";

const MAX_GRANTS = 10_000;
const MAX_REFUSALS = 10_000;
const REFUSAL_MS = 1_000;

interface Kept {
  readonly claims: AppTokenClaims;
  readonly keptAt: Instant;
}

interface Refused {
  readonly right: IssuedRight;
  readonly keptAt: Instant;
}

export interface AppGrantsOptions {
  readonly tokens: Pick<AppTokens, "issue">;
  /** The time of day in milliseconds. */
  readonly now: () => number;
  readonly clock: () => Instant;
}

export class AppGrants {
  readonly #options: AppGrantsOptions;
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>();
  /** Answers for visitors who have to sign in, the oldest first. */
  readonly #refused = new Map<string, Refused>();
  readonly #asking = new Map<string, Promise<IssuedRight>>();
  /** Increased by each `forget…`: answers to earlier questions are not kept. */
  #generation = 0;

  constructor(options: AppGrantsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#kept.size;
  }

  /**
   * The kept answer, or that of a pending question; undefined if the primary has to be asked.
   * @param accept The types that the visitor's browser accepts, for a refusal.
   */
  known(question: IssueAppTokenRequest, accept: string): Promise<IssuedRight | undefined> | IssuedRight | undefined {
    const { clock, now } = this.#options;
    const key = grantKey(question);
    const kept = this.#kept.get(key);
    if (kept !== undefined && clock() - kept.keptAt < APP_TOKEN_LIFE_MS && endOf(kept.claims) > now())
      return { claims: kept.claims };
    const refused = this.#refused.get(key);
    if (refused !== undefined && clock() - refused.keptAt < REFUSAL_MS) return refused.right;
    return this.#asking.get(askingOf(key, accept))?.then((right) => (isForAll(right) ? right : undefined));
  }

  /**
   * Asks the primary, once for all concurrent questions that are equal. An answer that redirects contains the requested address,
   * so it is shared only by questions about the same address. Never rejects.
   */
  async ask(question: IssueAppTokenRequest, accept?: string): Promise<IssuedRight> {
    const asking = askingOf(grantKey(question), accept);
    const others = this.#asking.get(asking);
    if (others === undefined) return await this.#askOnce(asking, question, accept);
    const right = await others;
    if (isForAll(right)) return right;
    return await this.#askOnce(`${asking} ${question.app_path}?${question.app_query}`, question, accept);
  }

  #askOnce(asking: string, question: IssueAppTokenRequest, accept: string | undefined): Promise<IssuedRight> {
    const others = this.#asking.get(asking);
    if (others !== undefined) return others;
    const asked = this.#ask(grantKey(question), question, accept).finally(() => {
      if (this.#asking.get(asking) === asked) this.#asking.delete(asking);
    });
    this.#asking.set(asking, asked);
    return asked;
  }

  /** Rights to the agent may have ended, so earlier grants and pending questions about it no longer count. */
  forgetAgent(agentId: string): void {
    for (const [key, { claims }] of this.#kept) if (claims.agent_id === agentId) this.#kept.delete(key);
    this.#asking.clear();
    this.#generation++;
  }

  forgetAll(): void {
    this.#kept.clear();
    this.#refused.clear();
    this.#asking.clear();
    this.#generation++;
  }

  async #ask(key: string, question: IssueAppTokenRequest, accept: string | undefined): Promise<IssuedRight> {
    const { clock, tokens } = this.#options;
    const generation = this.#generation;
    const right = await tokens.issue(question, accept);
    if ("unknown" in right || generation !== this.#generation) return right;
    this.#kept.delete(key);
    this.#refused.delete(key);
    const keptAt = clock();
    if ("claims" in right) keep(this.#kept, key, { claims: right.claims, keptAt }, MAX_GRANTS);
    else if (right.refused.status === 401) keep(this.#refused, key, { right, keptAt }, MAX_REFUSALS);
    return right;
  }
}

/** When a grant expires, by the time of day. */
function endOf({ exp, grant }: AppTokenClaims): number {
  return Math.min(exp * 1_000, grant.ends_at ?? Number.POSITIVE_INFINITY);
}

function keep<Value>(map: Map<string, Value>, key: string, value: Value, max: number): void {
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > max && oldest !== undefined) map.delete(oldest);
}

/** Whether an answer depends only on the app and the visitor. */
function isForAll(right: IssuedRight): boolean {
  return !("refused" in right) || right.refused.status < 300 || right.refused.status >= 400;
}

function askingOf(key: string, accept = ""): string {
  return `${key} ${accept}`;
}

/** The key of an answer. A host stands for its app, except for the proxy's own host, which has all apps below paths. */
export function grantKey({
  app_request: named,
  app_hostname: host = "",
  session_token: credential = "",
}: IssueAppTokenRequest): string {
  const { access_method: method, username_or_id, workspace_name_or_id, agent_name_or_id, app_slug_or_port } = named;
  const app = [username_or_id, workspace_name_or_id, agent_name_or_id, app_slug_or_port];
  const place = method === "path" ? `${host} ${JSON.stringify(app)}` : host;
  return `${place} ${createHash("sha256").update(credential).digest("base64url")}`;
}
