/**
 * The keys of this proxy's app tokens. They rotate, so known keys are requested again after a while, and also when a token is
 * signed with an unknown one, but at most once in ten seconds, whatever tokens arrive. Keys belong to the proxy's own token: if
 * that is replaced, the old keys are invalid, although the new ones have the same numbers.
 */
import type { CryptoKey } from "coder-protocol/rest/proxy-apps";
import type { Instant } from "wg-userspace/base/instant";
import {
  type AppTokenClaims,
  type AppTokenKey,
  type AppTokenParties,
  type AppTokenRefusal,
  verifyAppToken,
} from "../../base/app-token.ts";

const REFRESH_MS = 10 * 60_000;
/** Minimum time between two requests caused by tokens that no known key signed. */
const UNKNOWN_KEY_GAP_MS = 10_000;
/** Minimum time after a request that failed. */
const FAILED_GAP_MS = 1_000;

export type AppTokenVerdict =
  | { readonly claims: AppTokenClaims }
  | { readonly refused: AppTokenRefusal }
  /** The primary was not asked or did not answer, so the token could not be verified. */
  | { readonly unknown: string };

export interface AppKeysOptions {
  readonly ask: () => Promise<readonly CryptoKey[]>;
  /** The proxy's own token, which authenticates its requests. */
  readonly token: () => string;
  readonly clock: () => Instant;
  /** Must return words that name no host. */
  readonly reasonOf: (error: unknown) => string;
}

export class AppKeys {
  readonly #options: AppKeysOptions;
  #keys: readonly AppTokenKey[] = [];
  #asking: Promise<void> | undefined;
  #askedAt: Instant | undefined;
  #problem: string | undefined;
  /** The token of the proxy with which the keys were requested. */
  #askedWith: string | undefined;
  /** Increased by each `forget`: answers to earlier requests are discarded. */
  #generation = 0;

  constructor(options: AppKeysOptions) {
    this.#options = options;
  }

  /** Why the last request failed, in words that name no host. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Requests the keys unless they were requested recently. Never rejects. */
  async freshen(): Promise<void> {
    this.#forgetOfOtherToken();
    if (this.#problem !== undefined || this.#ageMs() >= REFRESH_MS) await this.#ask();
  }

  /** The primary no longer accepts this proxy's token: nothing that it signed is valid any more. */
  forget(): void {
    this.#keys = [];
    this.#askedAt = undefined;
    this.#asking = undefined;
    this.#generation++;
  }

  async verify(text: string, parties: AppTokenParties): Promise<AppTokenVerdict> {
    this.#forgetOfOtherToken();
    const first = verifyAppToken(text, this.#keys, parties);
    if (!("refused" in first) || (first.refused !== "unknown-key" && first.refused !== "signature")) return first;
    const gapMs = this.#problem === undefined ? UNKNOWN_KEY_GAP_MS : FAILED_GAP_MS;
    if (this.#asking !== undefined || this.#ageMs() >= gapMs) await this.#ask();
    if (this.#problem !== undefined) return { unknown: this.#problem };
    return verifyAppToken(text, this.#keys, parties);
  }

  #ageMs(): number {
    return this.#askedAt === undefined ? Number.POSITIVE_INFINITY : this.#options.clock() - this.#askedAt;
  }

  #forgetOfOtherToken(): void {
    if (this.#askedWith !== undefined && this.#askedWith !== this.#options.token()) this.forget();
  }

  #ask(): Promise<void> {
    if (this.#asking === undefined) {
      const asking = this.#askOnce().finally(() => {
        if (this.#asking === asking) this.#asking = undefined;
      });
      this.#asking = asking;
    }
    return this.#asking;
  }

  async #askOnce(): Promise<void> {
    const { ask, clock, reasonOf, token } = this.#options;
    const generation = this.#generation;
    this.#askedAt = clock();
    this.#askedWith = token();
    try {
      const keys = await ask();
      if (generation !== this.#generation) return;
      this.#keys = keys.map(({ secret, sequence, deletes_at }) => ({
        secret,
        sequence,
        deletesAt: Date.parse(deletes_at),
      }));
      this.#problem = undefined;
    } catch (error) {
      if (generation === this.#generation) this.#problem = reasonOf(error);
    }
  }
}
