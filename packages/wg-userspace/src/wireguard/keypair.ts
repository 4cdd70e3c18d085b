import { wipe } from "../base/bytes.ts";
import type { Instant } from "../base/instant.ts";
import { REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME, REKEY_AFTER_MESSAGES } from "./constants.ts";
import type { TransportKeys } from "./handshake.ts";
import { ReplayWindow } from "./replay-window.ts";

/** How many messages a keypair may send. Tests lower these limits, since no test could reach the real ones. */
export interface MessageLimits {
  readonly rekeyAfterMessages: number;
  readonly rejectAfterMessages: number;
}

export const MESSAGE_LIMITS: MessageLimits = {
  rekeyAfterMessages: REKEY_AFTER_MESSAGES,
  rejectAfterMessages: REJECT_AFTER_MESSAGES,
};

/** The keys of one session and how they were used. Owns the keys. */
export class Keypair {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  /** Whether our side sent the initiation: only that side renews by age. */
  readonly isInitiator: boolean;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly createdAt: Instant;
  readonly window = new ReplayWindow();
  /** Counter of the next message. */
  sendCounter = 0;
  /** Set when the keys are wiped: nothing may be sealed or opened any more. */
  wiped = false;

  constructor(keys: TransportKeys, isInitiator: boolean, localIndex: number, remoteIndex: number, createdAt: Instant) {
    this.sendKey = keys.send;
    this.receiveKey = keys.receive;
    this.isInitiator = isInitiator;
    this.localIndex = localIndex;
    this.remoteIndex = remoteIndex;
    this.createdAt = createdAt;
  }

  isExpired(now: Instant): boolean {
    return now - this.createdAt >= REJECT_AFTER_TIME;
  }

  canSend(now: Instant, limits: MessageLimits): boolean {
    return !this.wiped && !this.isExpired(now) && this.sendCounter < limits.rejectAfterMessages;
  }

  wipe(): void {
    this.wiped = true;
    wipe(this.sendKey, this.receiveKey);
  }
}

/**
 * The three keypairs of a peer and how they follow each other. We send on `current` only. `next` is a session that we
 * answered and whose first message has not arrived; `previous` receives messages in flight when `current` changed.
 *
 * When both sides initiate at once, each ends with its own session as `current` and the other's as `previous`. Without
 * more, both would renew at the same time indefinitely, and each renewal drops the keypair that the other side is
 * sending on. So one of the two yields: when it receives on the other side's session, it switches to that one.
 */
export class Keypairs {
  #previous: Keypair | undefined;
  #current: Keypair | undefined;
  #next: Keypair | undefined;
  /** The peer's session that was created at the same time as our `current`; it is `previous`. */
  #simultaneous: Keypair | undefined;
  readonly #yields: boolean;
  readonly #dropped: (keypair: Keypair) => void;

  /**
   * @param yields Whether our side switches after simultaneous handshakes; the peer must have the opposite value.
   * @param dropped Called with every replaced keypair, after it was wiped.
   */
  constructor(yields: boolean, dropped: (keypair: Keypair) => void) {
    this.#yields = yields;
    this.#dropped = dropped;
  }

  get previous(): Keypair | undefined {
    return this.#previous;
  }
  get current(): Keypair | undefined {
    return this.#current;
  }
  get next(): Keypair | undefined {
    return this.#next;
  }

  /**
   * Our initiation was answered. A session that the peer initiated in the meantime stays as `previous`, so the two
   * sides may differ.
   */
  installInitiated(keypair: Keypair): void {
    const { previous, current, next } = this.#slots();
    if (next !== undefined) {
      this.#drop(current);
      this.#previous = next;
    } else {
      this.#previous = current;
    }
    this.#simultaneous = next;
    this.#next = undefined;
    this.#current = keypair;
    this.#drop(previous);
  }

  /** We answered an initiation. */
  installResponded(keypair: Keypair): void {
    const { previous, next } = this.#slots();
    this.#next = keypair;
    this.#previous = undefined;
    this.#simultaneous = undefined;
    this.#drop(next);
    this.#drop(previous);
  }

  /**
   * An authenticated message arrived on `keypair`. Returns whether that confirmed the session, which is now `current`.
   */
  promote(keypair: Keypair): boolean {
    if (keypair === this.#simultaneous && this.#yields) {
      this.#previous = this.#current;
      this.#current = keypair;
      this.#simultaneous = undefined;
      return false;
    }
    if (keypair !== this.#next) return false;
    const previous = this.#previous;
    this.#previous = this.#current;
    this.#current = keypair;
    this.#next = undefined;
    this.#simultaneous = undefined;
    this.#drop(previous);
    return true;
  }

  wipeAll(): void {
    const { previous, current, next } = this.#slots();
    this.#previous = undefined;
    this.#current = undefined;
    this.#next = undefined;
    this.#simultaneous = undefined;
    this.#drop(previous);
    this.#drop(current);
    this.#drop(next);
  }

  #slots() {
    return { previous: this.#previous, current: this.#current, next: this.#next };
  }

  #drop(keypair: Keypair | undefined): void {
    if (keypair === undefined) return;
    keypair.wipe();
    this.#dropped(keypair);
  }
}
