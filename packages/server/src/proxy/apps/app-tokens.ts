/** Rights to apps and terminals, as the primary grants them: asked for, and verified as those that browsers bring. */
import type { CryptoKey, IssueAppTokenRequest } from "coder-protocol/rest/proxy-apps";
import type { Instant } from "wg-userspace/base/instant";
import { type AppTokenClaims, proxyAudience } from "../../base/app-token.ts";
import type { PassedAnswer } from "../primary.ts";
import { AppKeys, type AppTokenVerdict } from "./app-keys.ts";

export type IssuedRight =
  | { readonly claims: AppTokenClaims }
  /** Of the primary, for the visitor. */
  | { readonly refused: PassedAnswer }
  /** The primary was not reached, in words that name no host. */
  | { readonly unknown: string };

export interface AppTokensOptions {
  readonly primary: {
    cryptoKeys(): Promise<readonly CryptoKey[]>;
    /** Rejects when the primary was not reached. */
    issueAppToken(
      request: IssueAppTokenRequest,
      accept: string,
    ): Promise<{ token: string } | { refused: PassedAnswer }>;
  };
  /** Undefined until the primary has said so. */
  readonly issuer: () => string | undefined;
  readonly proxyId: () => string;
  readonly clock: () => Instant;
  readonly wallClock: () => number;
  readonly reasonOf: (error: unknown) => string;
}

const NOT_IDENTIFIED = "the primary was not reached yet";

export class AppTokens {
  readonly keys: AppKeys;
  /** Rights that were granted, refused, and not answered about. */
  readonly counts = { granted: 0, refused: 0, unknown: 0 };
  readonly #options: AppTokensOptions;

  constructor(options: AppTokensOptions) {
    this.#options = options;
    const { primary, clock, reasonOf } = options;
    this.keys = new AppKeys({ ask: () => primary.cryptoKeys(), clock, reasonOf });
  }

  /** Of a token that a browser brought. Never rejects. */
  async verify(text: string): Promise<AppTokenVerdict> {
    const { issuer, proxyId, wallClock } = this.#options;
    const deployment = issuer();
    if (deployment === undefined) return { unknown: NOT_IDENTIFIED };
    return await this.keys.verify(text, {
      issuer: deployment,
      audience: proxyAudience(proxyId()),
      now: wallClock(),
    });
  }

  /** Asks the primary. Never rejects. @param accept What the visitor's browser takes, for a refusal. */
  async issue(request: IssueAppTokenRequest, accept = "application/json"): Promise<IssuedRight> {
    const right = await this.#issue(request, accept);
    if ("claims" in right) this.counts.granted++;
    else if ("refused" in right) this.counts.refused++;
    else this.counts.unknown++;
    return right;
  }

  async #issue(request: IssueAppTokenRequest, accept: string): Promise<IssuedRight> {
    const { primary, reasonOf } = this.#options;
    try {
      const issued = await primary.issueAppToken(request, accept);
      if ("refused" in issued) return issued;
      const verdict = await this.verify(issued.token);
      if ("refused" in verdict) return { unknown: `the primary's token does not count: ${verdict.refused}` };
      return verdict;
    } catch (error) {
      return { unknown: reasonOf(error) };
    }
  }
}
