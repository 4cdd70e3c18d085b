/**
 * What the primary granted the visitors of apps a moment ago: a page asks for hundreds of files, and each needs the same right. A
 * grant is kept by the host and the visitor's credential for as long as its token counts.
 */
import { createHash } from "node:crypto";
import type { IssueAppTokenRequest } from "coder-protocol/rest/proxy-apps";
import type { AppTokenClaims } from "../../base/app-token.ts";
import type { AppTokens, IssuedRight } from "./app-tokens.ts";

const MAX_GRANTS = 10_000;

interface Kept {
  readonly claims: AppTokenClaims;
  readonly untilMs: number;
}

export class AppGrants {
  readonly #tokens: Pick<AppTokens, "issue">;
  readonly #now: () => number;
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>();
  readonly #asking = new Map<string, Promise<IssuedRight>>();

  /** @param now The time of day in milliseconds. */
  constructor(tokens: Pick<AppTokens, "issue">, now: () => number) {
    this.#tokens = tokens;
    this.#now = now;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** @param accept What the visitor's browser takes, for a refusal. Never rejects. */
  async get(question: IssueAppTokenRequest, accept: string): Promise<IssuedRight> {
    const kept = this.#kept.get(keyOf(question));
    if (kept !== undefined && kept.untilMs > this.#now()) return { claims: kept.claims };
    return await this.ask(question, accept);
  }

  /** Asks the primary, once for all that ask the same at the same time. Never rejects. */
  ask(question: IssueAppTokenRequest, accept?: string): Promise<IssuedRight> {
    const key = keyOf(question);
    const asking = `${key} ${accept ?? ""}`;
    let answer = this.#asking.get(asking);
    if (answer === undefined) {
      const asked = this.#ask(key, question, accept).finally(() => {
        if (this.#asking.get(asking) === asked) this.#asking.delete(asking);
      });
      answer = asked;
      this.#asking.set(asking, answer);
    }
    return answer;
  }

  /** Rights to the agent may have ended: what was granted or asked before says nothing about it. */
  forgetAgent(agentId: string): void {
    for (const [key, { claims }] of this.#kept) if (claims.agent_id === agentId) this.#kept.delete(key);
    this.#asking.clear();
  }

  forgetAll(): void {
    this.#kept.clear();
    this.#asking.clear();
  }

  async #ask(key: string, question: IssueAppTokenRequest, accept: string | undefined): Promise<IssuedRight> {
    const right = await this.#tokens.issue(question, accept);
    if ("unknown" in right) return right;
    this.#kept.delete(key);
    if ("refused" in right) return right;
    this.#kept.set(key, { claims: right.claims, untilMs: right.claims.exp * 1_000 });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_GRANTS && oldest !== undefined) this.#kept.delete(oldest);
    return right;
  }
}

function keyOf({ app_hostname: host, session_token: credential }: IssueAppTokenRequest): string {
  return `${host} ${createHash("sha256")
    .update(credential ?? "")
    .digest("base64url")}`;
}
