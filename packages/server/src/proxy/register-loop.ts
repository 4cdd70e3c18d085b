/**
 * Decides when a workspace proxy asks the primary for its identity, and when it registers. Pure: the caller does what is `due`,
 * reports the outcome, and calls again at `nextTimeout`.
 *
 *     identify ─ register ─ (30 s) ─ register …
 *
 * After a failure there is always another attempt. Two things end the process: a primary that is itself a proxy, and a token that
 * the primary refuses. If the token was accepted before, attempts continue for 15 minutes, while known clients are still served;
 * the process then ends only if the last answer was a refusal too, because while the primary is away it is unknown whether the
 * token is valid.
 */
import { addMs, type Instant } from "wg-userspace/base/instant";

export type RegisterStep = "identify" | "register";
/** Why the process cannot continue. */
export type RegisterEnd = "primary-is-proxy" | "token-refused" | "token-revoked";

export interface RegisterFailure {
  /** In words that name no host, because they are part of the public report. */
  readonly why: string;
  readonly since: Instant;
}

const DEFAULT_REFRESH_MS = 30_000;
/** Limits for the interval that the primary may ask for. */
const MIN_REFRESH_MS = 5_000;
const MAX_REFRESH_MS = 600_000;
const MIN_RETRY_MS = 5_000;
const FIRST_RETRY_LIMIT_MS = 10_000;
const MAX_RETRY_MS = 60_000;
/** Minimum time between attempts outside the schedule. */
const MIN_GAP_MS = 1_000;
/** As long as a key that could not be confirmed may use a relay. */
const REFUSED_GRACE_MS = 15 * 60_000;

export class RegisterLoop {
  /** Failed attempts since the start. */
  failures = 0;
  /** @returns a number from 0 to 1. */
  readonly #random: () => number;
  #step: RegisterStep = "identify";
  #underWay: RegisterStep | undefined;
  #dueAt: Instant;
  #startedAt: Instant | undefined;
  #registered = false;
  #failure: RegisterFailure | undefined;
  #refusedAt: Instant | undefined;
  /** Whether the last attempt failed because the token was refused. */
  #isRefused = false;
  #retryLimitMs = FIRST_RETRY_LIMIT_MS;
  #end: RegisterEnd | undefined;

  constructor(now: Instant, random: () => number) {
    this.#dueAt = now;
    this.#random = random;
  }

  /** Whether a registration has succeeded since the start. */
  get registered(): boolean {
    return this.#registered;
  }

  /** Why the last attempt failed, and since when attempts have failed. Undefined if the last one succeeded. */
  get failure(): RegisterFailure | undefined {
    return this.#failure;
  }

  /** Since when the token has been refused. */
  get refusedAt(): Instant | undefined {
    return this.#refusedAt;
  }

  get end(): RegisterEnd | undefined {
    return this.#end;
  }

  /** The step to take now. It is in progress until its outcome is reported; until then no other step is due. */
  due(now: Instant): RegisterStep | undefined {
    const giveUpAt = this.#giveUpAt();
    if (giveUpAt !== undefined && now >= giveUpAt) this.#end ??= "token-revoked";
    if (this.#end !== undefined || this.#underWay !== undefined || now < this.#dueAt) return undefined;
    this.#underWay = this.#step;
    this.#startedAt = now;
    return this.#step;
  }

  nextTimeout(): Instant | undefined {
    if (this.#end !== undefined) return undefined;
    const giveUpAt = this.#giveUpAt();
    if (this.#underWay !== undefined) return giveUpAt;
    return giveUpAt === undefined || this.#dueAt < giveUpAt ? this.#dueAt : giveUpAt;
  }

  /** The registration may no longer be valid: it is renewed soon instead of on schedule. */
  renewSoon(now: Instant): void {
    const soonest = this.#startedAt === undefined ? now : addMs(this.#startedAt, MIN_GAP_MS);
    const at = soonest > now ? soonest : now;
    if (at < this.#dueAt) this.#dueAt = at;
  }

  identified(isProxy: boolean, now: Instant): void {
    if (isProxy) {
      this.#end = "primary-is-proxy";
      return;
    }
    this.#step = "register";
    this.#settled(now, 0);
  }

  /** @param refreshMs Interval after which the registration has to be renewed. */
  accepted(refreshMs: number | undefined, now: Instant): void {
    this.#registered = true;
    this.#refusedAt = undefined;
    this.#isRefused = false;
    const wanted = refreshMs ?? DEFAULT_REFRESH_MS;
    this.#settled(now, Math.min(MAX_REFRESH_MS, Math.max(MIN_REFRESH_MS, wanted)));
  }

  failed(why: string, now: Instant): void {
    this.#isRefused = false;
    this.#retry(why, now);
  }

  /** The primary itself refuses the token. */
  refused(why: string, now: Instant): void {
    if (!this.#registered) this.#end = "token-refused";
    this.#refusedAt ??= now;
    this.#isRefused = true;
    this.#retry(why, now);
  }

  #giveUpAt(): Instant | undefined {
    return this.#isRefused && this.#refusedAt !== undefined ? addMs(this.#refusedAt, REFUSED_GRACE_MS) : undefined;
  }

  #retry(why: string, now: Instant): void {
    this.failures++;
    this.#failure = { why, since: this.#failure?.since ?? now };
    this.#underWay = undefined;
    const span = this.#retryLimitMs - MIN_RETRY_MS;
    this.#dueAt = addMs(now, MIN_RETRY_MS + Math.round(this.#random() * span));
    this.#retryLimitMs = Math.min(MAX_RETRY_MS, 2 * this.#retryLimitMs);
  }

  #settled(now: Instant, nextInMs: number): void {
    this.#underWay = undefined;
    this.#failure = undefined;
    this.#retryLimitMs = FIRST_RETRY_LIMIT_MS;
    this.#dueAt = addMs(now, nextInMs);
  }
}
