import type { Instant } from "../../base/instant.ts";
import { ACK, FIN, PSH, RST, SYN } from "../wire/tcp.ts";
import type { TcpState } from "./contract.ts";
import type { Keepalive } from "./keepalive.ts";
import type { Receiver } from "./receiver.ts";
import type { SegmentWriter } from "./segment-writer.ts";
import { PLAN_NONE, type Sender } from "./sender.ts";
import { DELAYED_ACK, type TcpTimers } from "./timers.ts";

export const TRANSMIT_IDLE = 0;
export const TRANSMIT_SENT = 1;
export const TRANSMIT_NO_SLOT = 2;

/**
 * Which segment a connection sends next: a reset, what the sender planned, or an acknowledgment or probe that is due.
 * Called per segment: allocates nothing.
 */
export class Transmitter {
  /** The connection was aborted: nothing but a reset is sent. */
  resetPending = false;
  /** A challenge ACK is due (RFC 5961). */
  challengePending = false;
  /** The reader made room: the window may have to be announced. */
  windowUpdatePending = false;
  readonly #writer: SegmentWriter;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #keepalive: Keepalive;
  readonly #timers: TcpTimers;

  constructor(writer: SegmentWriter, sender: Sender, receiver: Receiver, keepalive: Keepalive, timers: TcpTimers) {
    this.#writer = writer;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#keepalive = keepalive;
    this.#timers = timers;
  }

  /** Writes at most one packet into the output. @returns one of the TRANSMIT constants. */
  transmit(state: TcpState, now: Instant): number {
    if (this.resetPending) return this.#transmitReset(now);
    if (state === "CLOSED") return TRANSMIT_IDLE;
    const sender = this.#sender;
    if (state !== "TIME_WAIT") {
      const plan = sender.plan(now);
      if (plan !== PLAN_NONE) {
        if (!this.#transmitPlanned(state, now)) return TRANSMIT_NO_SLOT;
        sender.sent(plan, now);
        return TRANSMIT_SENT;
      }
    }
    return this.#transmitAck(state, now);
  }

  /** Acknowledges what has arrived. @returns false when there is no slot. */
  acknowledge(now: Instant): boolean {
    return this.#emit(this.#sender.next, ACK, 1, 0, now);
  }

  #transmitPlanned(state: TcpState, now: Instant): boolean {
    const sender = this.#sender;
    const { planStart, planEnd, buffer } = sender;
    if (planStart === 0) {
      const flags = state === "SYN_SENT" ? SYN : SYN | ACK;
      return this.#emit(0, flags, 1, 0, now);
    }
    const dataEnd = Math.min(planEnd, buffer.end);
    const length = Math.max(0, dataEnd - planStart);
    let flags = ACK;
    if (sender.finPosition >= 0 && planEnd > sender.finPosition) flags |= FIN;
    if (length > 0 && dataEnd === buffer.end) flags |= PSH;
    return this.#emit(planStart, flags, planStart, length, now);
  }

  #transmitAck(state: TcpState, now: Instant): number {
    const sender = this.#sender;
    const receiver = this.#receiver;
    const keepalive = this.#keepalive;
    const probing = sender.probeDue || keepalive.probeDue;
    const owed = receiver.ackNow || this.challengePending || (this.windowUpdatePending && receiver.windowUpdateDue());
    if (!probing && !owed) {
      this.windowUpdatePending = false;
      return TRANSMIT_IDLE;
    }
    if (state === "SYN_SENT" || state === "SYN_RECEIVED") {
      receiver.ackNow = this.challengePending = false;
      return TRANSMIT_IDLE;
    }
    // A probe repeats an acknowledged number, which obliges the peer to answer (RFC 9293 §3.8.4).
    if (!this.#emit(probing ? sender.una - 1 : sender.next, ACK, 1, 0, now)) return TRANSMIT_NO_SLOT;
    sender.probeDue = keepalive.probeDue = false;
    return TRANSMIT_SENT;
  }

  #transmitReset(now: Instant): number {
    if (!this.#emit(this.#sender.next, RST | ACK, 1, 0, now)) return TRANSMIT_NO_SLOT;
    this.resetPending = false;
    return TRANSMIT_SENT;
  }

  #emit(position: number, flags: number, dataPosition: number, dataLength: number, now: Instant): boolean {
    if (!this.#writer.write(position, flags, dataPosition, dataLength, now)) return false;
    if ((flags & ACK) !== 0) {
      this.#receiver.acknowledged();
      this.#timers.clear(DELAYED_ACK);
      this.challengePending = false;
      this.windowUpdatePending = false;
    }
    return true;
  }
}
