/**
 * The timers of one peer (whitepaper §6) as plain deadlines. Packets only note times here, in constant time and without
 * allocation; the owner of the timers calls takeExpired when nextTimeout has come.
 */
import type { Instant } from "../base/instant.ts";
import {
  KEEPALIVE_TIMEOUT,
  NO_SLOT_RETRY,
  REKEY_TIMEOUT,
  REKEY_TIMEOUT_JITTER,
  ZERO_KEY_MATERIAL_AFTER,
} from "./constants.ts";

const NEVER = Number.POSITIVE_INFINITY;

export type PeerTimer =
  /** Wipe all keys: no new session for a long time. */
  | "zero-key-material"
  /** An initiation was not answered. */
  | "retransmit-handshake"
  /** We sent data and received nothing since. */
  | "new-handshake"
  /** We received data and sent nothing since. */
  | "send-keepalive"
  | "persistent-keepalive"
  /** Staged packets wait for free slots. */
  | "send-staged";

export class PeerTimers {
  #zeroKeyMaterialAt = NEVER;
  #retransmitHandshakeAt = NEVER;
  #newHandshakeAt = NEVER;
  #sendKeepaliveAt = NEVER;
  #persistentKeepaliveAt = NEVER;
  #sendStagedAt = NEVER;
  #needsAnotherKeepalive = false;
  #persistentKeepaliveMs = 0;
  /** Drawn once per initiation, since a draw per packet would cost more than the packet. */
  #jitterMs = 0;

  /** Infinity when no timer is armed. */
  nextTimeout(): number {
    return Math.min(
      this.#zeroKeyMaterialAt,
      this.#retransmitHandshakeAt,
      this.#newHandshakeAt,
      this.#sendKeepaliveAt,
      this.#persistentKeepaliveAt,
      this.#sendStagedAt,
    );
  }

  /** Disarms and returns one timer that is due. Call until it returns undefined. */
  takeExpired(now: Instant): PeerTimer | undefined {
    if (this.#zeroKeyMaterialAt <= now) {
      this.#zeroKeyMaterialAt = NEVER;
      return "zero-key-material";
    }
    if (this.#retransmitHandshakeAt <= now) {
      this.#retransmitHandshakeAt = NEVER;
      return "retransmit-handshake";
    }
    if (this.#newHandshakeAt <= now) {
      this.#newHandshakeAt = NEVER;
      return "new-handshake";
    }
    if (this.#sendStagedAt <= now) {
      this.#sendStagedAt = NEVER;
      return "send-staged";
    }
    if (this.#sendKeepaliveAt <= now) {
      this.#sendKeepaliveAt = NEVER;
      return "send-keepalive";
    }
    if (this.#persistentKeepaliveAt <= now) {
      this.#persistentKeepaliveAt = now + this.#persistentKeepaliveMs;
      return "persistent-keepalive";
    }
    return undefined;
  }

  dataSent(now: Instant): void {
    if (this.#newHandshakeAt === NEVER) this.#newHandshakeAt = now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + this.#jitterMs;
  }

  dataReceived(now: Instant): void {
    if (this.#sendKeepaliveAt === NEVER) this.#sendKeepaliveAt = now + KEEPALIVE_TIMEOUT;
    else this.#needsAnotherKeepalive = true;
  }

  /** A message left that the peer can authenticate. */
  authenticatedSent(now: Instant): void {
    this.#sendKeepaliveAt = NEVER;
    this.#traversed(now);
  }

  authenticatedReceived(now: Instant): void {
    this.#newHandshakeAt = NEVER;
    this.#traversed(now);
  }

  /** After the keepalive of an expired send-keepalive was sent: if more data arrived meanwhile, one more is due. */
  keepaliveSent(now: Instant): void {
    if (!this.#needsAnotherKeepalive || this.#sendKeepaliveAt !== NEVER) return;
    this.#needsAnotherKeepalive = false;
    this.#sendKeepaliveAt = now + KEEPALIVE_TIMEOUT;
  }

  /** @param random Uniform u32 for the jitter of this and the following timers. */
  handshakeInitiated(now: Instant, random: number): void {
    this.#jitterMs = Math.floor((random / 2 ** 32) * REKEY_TIMEOUT_JITTER);
    this.#retransmitHandshakeAt = now + REKEY_TIMEOUT + this.#jitterMs;
  }

  /**
   * An initiation was requested less than REKEY_TIMEOUT after the last handshake message: it is sent once that time has
   * passed.
   */
  handshakePostponed(lastHandshakeSentAt: Instant): void {
    if (this.#retransmitHandshakeAt !== NEVER) return;
    this.#retransmitHandshakeAt = lastHandshakeSentAt + REKEY_TIMEOUT + this.#jitterMs;
  }

  handshakeComplete(): void {
    this.#retransmitHandshakeAt = NEVER;
  }

  handshakeGaveUp(now: Instant): void {
    this.#sendKeepaliveAt = NEVER;
    if (this.#zeroKeyMaterialAt === NEVER) this.#zeroKeyMaterialAt = now + ZERO_KEY_MATERIAL_AFTER;
  }

  sessionDerived(now: Instant): void {
    this.#zeroKeyMaterialAt = now + ZERO_KEY_MATERIAL_AFTER;
  }

  /** A keepalive was skipped because no slot was free. */
  keepaliveMissed(now: Instant): void {
    this.#sendKeepaliveAt = now + NO_SLOT_RETRY;
  }

  stagedMissed(now: Instant): void {
    this.#sendStagedAt = now + NO_SLOT_RETRY;
  }

  /** Enabling it makes the first keepalive due at once. */
  setPersistentKeepalive(ms: number | undefined, now: Instant): void {
    const before = this.#persistentKeepaliveMs;
    this.#persistentKeepaliveMs = ms ?? 0;
    if (this.#persistentKeepaliveMs === 0) this.#persistentKeepaliveAt = NEVER;
    else if (before === 0) this.#persistentKeepaliveAt = now;
    else if (before !== ms) this.#persistentKeepaliveAt = now + this.#persistentKeepaliveMs;
  }

  #traversed(now: Instant): void {
    if (this.#persistentKeepaliveMs > 0) this.#persistentKeepaliveAt = now + this.#persistentKeepaliveMs;
  }
}
