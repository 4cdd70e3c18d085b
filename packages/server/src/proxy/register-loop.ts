/**
 * When a workspace proxy asks the primary what it is, and when it registers. Pure: the shell does what is `due`, reports
 * the outcome, and calls again at `nextTimeout`.
 *
 *     identify ─ register ─ (30 s) ─ register …
 *
 * A failure is followed by another attempt, however many there were. Two things end the process: a primary that is itself
 * a proxy, and a token that the primary does not accept. A token that was accepted before is tried for 15 minutes more,
 * while the clients that are known already are served; it ends the process only when the last answer refused it as well: while
 * the primary is away it is not known whether the token holds.
 */
import { addMs, type Instant } from "wg-userspace/base/instant";

export type RegisterStep = "identify" | "register";
/** Why the process cannot go on. */
export type RegisterEnd = "primary-is-proxy" | "token-refused" | "token-revoked";

export interface RegisterFailure {
  /** In words that name no host: it is part of the public report. */
  readonly why: string;
  readonly since: Instant;
}

const DEFAULT_REFRESH_MS = 30_000;
/** What the primary may ask for. */
const MIN_REFRESH_MS = 5_000;
const MAX_REFRESH_MS = 600_000;
const MIN_RETRY_MS = 5_000;
const FIRST_RETRY_LIMIT_MS = 10_000;
const MAX_RETRY_MS = 60_000;
/** Between attempts that something else asks for. */
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
  /** Whether the last attempt failed because the token was not accepted. */
  #isRefused = false;
  #retryLimitMs = FIRST_RETRY_LIMIT_MS;
  #end: RegisterEnd | undefined;

  constructor(now: Instant, random: () => number) {
    this.#dueAt = now;
    this.#random = random;
  }

  /** Whether there was a registration since the start. */
  get registered(): boolean {
    return this.#registered;
  }

  /** What the last attempt failed with, and since when attempts fail. Undefined when the last one succeeded. */
  get failure(): RegisterFailure | undefined {
    return this.#failure;
  }

  /** Since when the token is not accepted any more. */
  get refusedAt(): Instant | undefined {
    return this.#refusedAt;
  }

  get end(): RegisterEnd | undefined {
    return this.#end;
  }

  /** The step to take now. It is under way until its outcome is reported; nothing else is due before. */
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

  /** Something else suggests that the registration does not hold: it is renewed soon instead of at its time. */
  hurry(now: Instant): void {
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

  /** @param refreshMs After this time the registration has to be renewed. */
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

  /** The primary itself does not accept the token. */
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
