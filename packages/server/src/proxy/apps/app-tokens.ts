/**
 * Rights to apps and terminals that the primary grants: requests them, and verifies their tokens like those that browsers bring.
 */
import type { CryptoKey, IssueAppTokenRequest } from "coder-protocol/rest/proxy-apps";
import type { Instant } from "wg-userspace/base/instant";
import { type AppTokenClaims, proxyAudience } from "../../base/app-token.ts";
import { isTokenRefused, type PassedAnswer } from "../primary.ts";
import { AppKeys, type AppTokenVerdict } from "./app-keys.ts";

export type IssuedRight =
  | { readonly claims: AppTokenClaims }
  /** The primary's answer for the visitor. */
  | { readonly refused: PassedAnswer }
  /** The primary was not reached; the reason, in words that name no host. */
  | { readonly unknown: string };

export interface AppTokensOptions {
  readonly primary: {
    cryptoKeys(): Promise<readonly CryptoKey[]>;
    /** Rejects if the primary was not reached. */
    issueAppToken(
      request: IssueAppTokenRequest,
      accept: string,
    ): Promise<{ token: string } | { refused: PassedAnswer }>;
  };
  /** Undefined until the primary has named it. */
  readonly issuer: () => string | undefined;
  /** The proxy's own token. May throw, in which case the token that was read last is used. */
  readonly proxyToken: () => string;
  /** Called at each answer in which the primary refuses the proxy's token. */
  readonly onTokenRefused: () => void;
  readonly clock: () => Instant;
  readonly wallClock: () => number;
  readonly reasonOf: (error: unknown) => string;
}

const NOT_IDENTIFIED = "the primary was not reached yet";

export class AppTokens {
  readonly keys: AppKeys;
  /** The number of rights that were granted, refused, or left unanswered. */
  readonly counts = { granted: 0, refused: 0, unknown: 0 };
  readonly #options: AppTokensOptions;
  #proxyToken = "";

  constructor(options: AppTokensOptions) {
    this.#options = options;
    const { primary, clock } = options;
    this.keys = new AppKeys({
      ask: () => primary.cryptoKeys(),
      token: () => this.#token(),
      clock,
      reasonOf: (error) => this.#failed(error),
    });
  }

  /** Verifies a token that a browser brought. Never rejects. */
  async verify(text: string): Promise<AppTokenVerdict> {
    const { issuer, wallClock } = this.#options;
    const deployment = issuer();
    if (deployment === undefined) return { unknown: NOT_IDENTIFIED };
    return await this.keys.verify(text, {
      issuer: deployment,
      audience: proxyAudience(this.#token().split(":", 1)[0] ?? ""),
      now: wallClock(),
    });
  }

  /**
   * Requests a right from the primary. Never rejects. @param accept The types that the visitor's browser accepts, for a refusal.
   */
  async issue(request: IssueAppTokenRequest, accept = "application/json"): Promise<IssuedRight> {
    const right = await this.#issue(request, accept);
    if ("claims" in right) this.counts.granted++;
    else if ("refused" in right) this.counts.refused++;
    else this.counts.unknown++;
    return right;
  }

  async #issue(request: IssueAppTokenRequest, accept: string): Promise<IssuedRight> {
    const { primary } = this.#options;
    try {
      const issued = await primary.issueAppToken(request, accept);
      if ("refused" in issued) return issued;
      const verdict = await this.verify(issued.token);
      if ("refused" in verdict) return { unknown: `the primary's token does not count: ${verdict.refused}` };
      return verdict;
    } catch (error) {
      return { unknown: this.#failed(error) };
    }
  }

  #failed(error: unknown): string {
    if (isTokenRefused(error)) this.#options.onTokenRefused();
    return this.#options.reasonOf(error);
  }

  #token(): string {
    try {
      this.#proxyToken = this.#options.proxyToken();
    } catch {
      // The token's file is being replaced or cannot be read; registering reports that.
    }
    return this.#proxyToken;
  }
}
