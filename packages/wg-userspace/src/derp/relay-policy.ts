/**
 * When and how to connect to the relay of one region: which addresses in which order, by raw upgrade or WebSocket, and how long
 * to wait between attempts. The shell reports what happened and asks what to do next:
 *
 *     beginAttempt ─ dialling ─ dialled ─ upgradeFailed* ─ ready ─ attemptEnded → ms to wait → beginAttempt …
 *
 * Raw upgrade or WebSocket: the raw upgrade costs less and is tried first. A refusal that blames the request (4xx), or HTTP/2,
 * means that something on the way does not carry it: then WebSocket is preferred. A reset, another status or no answer at all may
 * also mean that the relay is down for the moment: only the next attempt uses WebSocket, and WebSocket is preferred once such a
 * probe succeeded twice. The preference ends when WebSocket fails repeatedly: the refusal may have come from a page that stood
 * in for the relay for a moment, and the network may carry nothing but the raw upgrade.
 */
import type { Instant } from "../base/instant.ts";
import type { RandomSource } from "../base/ports.ts";
import { hasRelay, type Region } from "./map.ts";
import { type RelayCandidate, relayCandidates } from "./relay-candidates.ts";

/** Limit of one attempt: dialling, TLS, HTTP and the DERP handshake together. */
export const ATTEMPT_LIMIT_MS = 10_000;
/** Limit for dialling one address while others are left to try. */
export const DIAL_LIMIT_MS = 1_500;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;
/** Least factor by which a wait is multiplied; the greatest is 0.5 more. */
const LEAST_JITTER = 0.75;
/** After a connection that lasted longer than this, the back-off starts over. */
const GOOD_CONNECTION_MS = 10_000;
/** Upper limit of the wait that a restarting relay may ask for. */
const MAX_RESTART_WAIT_MS = 30_000;
/**
 * A relay in doubt has to answer within five round trips, limited to these bounds, which leave room for one
 * retransmission.
 */
const DOUBT_MIN_MS = 1_500;
const DOUBT_MAX_MS = 3_000;
/** A dial that takes longer than this may have lost its SYN; a new dial is then quicker than the next retransmission. */
const STUCK_DIAL_MS = 4_000;
/** Successful WebSocket probes before WebSocket is preferred. */
const PROBES_TO_PREFER = 2;
/** WebSockets that fail in a row before the preference ends. */
const FAILURES_TO_FORGET = 2;

export interface RelayPolicyOptions {
  readonly region: Region;
  readonly forceWebSocket: boolean;
  readonly random: RandomSource;
}

/** Why a raw upgrade, or the opening of a WebSocket, failed. */
export interface UpgradeFailure {
  /** Status of an HTTP answer that refused it. */
  readonly status: number | undefined;
  /** TLS negotiated HTTP/2, which has no raw upgrade. */
  readonly isHttp2: boolean;
  readonly message: string;
}

export class RelayPolicy {
  readonly #random: RandomSource;
  readonly #isForced: boolean;
  #region: Region;
  #preferWebSocket: boolean;
  /** WebSockets that failed in a row while they were preferred. */
  #failures = 0;
  /** A stream to the relay is open, and no byte of DERP has arrived yet. */
  #isUpgrading = false;
  /** Defined while WebSocket is probed: the failure of the raw upgrade that made it necessary. */
  #probing: string | undefined;
  #probesWon = 0;
  #backoffMs = FIRST_BACKOFF_MS;
  #restartWaitMs = 0;
  #retryAtOnce = false;
  #diallingSince: Instant | undefined;
  #readyAt: Instant | undefined;

  constructor(options: RelayPolicyOptions) {
    this.#region = options.region;
    this.#isForced = options.forceWebSocket;
    this.#preferWebSocket = options.forceWebSocket;
    this.#random = options.random;
  }

  /** Nodes to use from the next attempt on; a region without relays is ignored. */
  updateRegion(region: Region): void {
    if (hasRelay(region)) this.#region = region;
  }

  /** Addresses to try, in order; never empty unless the first region had no relay. */
  beginAttempt(): readonly RelayCandidate[] {
    this.#readyAt = undefined;
    this.#retryAtOnce = false;
    this.#restartWaitMs = 0;
    return relayCandidates(this.#region);
  }

  /** What to carry DERP with, asked once a stream to the relay is open. */
  get transport(): "raw" | "websocket" {
    return this.#preferWebSocket || this.#probing !== undefined ? "websocket" : "raw";
  }

  dialling(now: Instant): void {
    this.#diallingSince = now;
  }

  /** The dial ended, successfully or not. */
  dialled(): void {
    this.#diallingSince = undefined;
  }

  /** A stream to the relay is open: the upgrade begins. */
  upgrading(): void {
    this.#isUpgrading = true;
  }

  /** DERP arrives: whatever happens now, what carries it works. */
  answered(): void {
    this.#isUpgrading = false;
  }

  /** Whether a new dial would probably be quicker than the one under way. */
  isStuck(now: Instant): boolean {
    return this.#diallingSince !== undefined && now - this.#diallingSince > STUCK_DIAL_MS;
  }

  /** Returns the reason if WebSocket is preferred from now on. */
  upgradeFailed(failure: UpgradeFailure): string | undefined {
    this.#isUpgrading = false;
    if (this.#preferWebSocket) {
      if (!this.#isForced && ++this.#failures >= FAILURES_TO_FORGET) this.#forgetPreference();
      return undefined;
    }
    if (this.#probing !== undefined) {
      this.#probing = undefined;
      return undefined;
    }
    const { status } = failure;
    if (failure.isHttp2) return this.#prefer("the server speaks HTTP/2, which has no raw upgrade");
    if (status !== undefined && status >= 400 && status < 500)
      return this.#prefer(`raw upgrade refused with HTTP ${status}: a proxy may not allow "Upgrade: DERP"`);
    this.#probing = failure.message;
    return undefined;
  }

  #prefer(reason: string): string {
    this.#preferWebSocket = true;
    this.#retryAtOnce = true;
    this.#probing = undefined;
    return reason;
  }

  #forgetPreference(): void {
    this.#preferWebSocket = false;
    this.#failures = 0;
    this.#probesWon = 0;
  }

  /** The relay accepted us. Returns the reason if WebSocket is preferred from now on. */
  ready(now: Instant): string | undefined {
    this.#readyAt = now;
    this.#isUpgrading = false;
    this.#failures = 0;
    const reason = this.#probing;
    this.#probing = undefined;
    if (reason === undefined || ++this.#probesWon < PROBES_TO_PREFER) return undefined;
    this.#preferWebSocket = true;
    return reason;
  }

  /** The relay asked for this much time before the next attempt. */
  restarting(reconnectInMs: number): void {
    this.#restartWaitMs = Math.min(reconnectInMs, MAX_RESTART_WAIT_MS);
  }

  /** The attempt under way, or the connection it led to, is followed by the next attempt without a wait. */
  retryAtOnce(): void {
    this.#retryAtOnce = true;
  }

  /** Ms to wait before the next attempt. Jittered: the clients of a relay that restarts should not return together. */
  attemptEnded(now: Instant): number {
    if (this.#readyAt !== undefined && now - this.#readyAt > GOOD_CONNECTION_MS) this.#backoffMs = FIRST_BACKOFF_MS;
    // Something on the way swallowed the upgrade or what followed it.
    if (this.#isUpgrading && !this.#retryAtOnce)
      this.upgradeFailed({ status: undefined, isHttp2: false, message: "no answer to the upgrade" });
    this.#isUpgrading = false;
    if (this.#retryAtOnce) return 0;
    const jitter = LEAST_JITTER + (this.#random.uint32() % 1024) / 2048;
    const waitMs = jitter * Math.max(this.#backoffMs, this.#restartWaitMs / LEAST_JITTER);
    this.#backoffMs = Math.min(MAX_BACKOFF_MS, 2 * this.#backoffMs);
    return waitMs;
  }
}

/** How long a relay may take to answer once its connection is in doubt. `rttMs` is that of its last answer, if any. */
export function doubtPatienceMs(rttMs: number | undefined): number {
  return Math.min(DOUBT_MAX_MS, Math.max(DOUBT_MIN_MS, 5 * (rttMs ?? 0)));
}
