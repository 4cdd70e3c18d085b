import { monotonicNow } from "wg-userspace/io/host/clock";
import type WebSocket from "ws";
import { SilenceAlarm } from "./silence-alarm.ts";

export interface SilenceEvents {
  /** The other side is overdue and was pinged. */
  readonly onDoubt: (() => void) | undefined;
  /** Even the ping was not answered. */
  readonly onDead: () => void;
}

/** Runs a {@link SilenceAlarm} on an open WebSocket. */
export class SilenceWatch {
  readonly #socket: WebSocket;
  readonly #events: SilenceEvents;
  readonly #alarm = new SilenceAlarm(monotonicNow());
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, events: SilenceEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#arm();
  }

  /** Call on every input. */
  heard(): void {
    const { asking } = this.#alarm;
    this.#alarm.heard(monotonicNow());
    // Postponed instead of letting it fire, so that an idle process is not woken.
    if (asking) this.#arm();
    else this.#timer?.refresh();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      // Input that arrived while this process was busy is read first.
      () => setImmediate(() => this.#check()),
      Math.max(1, this.#alarm.nextTimeout() - monotonicNow()),
    );
    this.#timer.unref();
  }

  #check(): void {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return;
    const verdict = this.#alarm.handleTimeout(monotonicNow());
    if (verdict === "dead") {
      this.#events.onDead();
      return;
    }
    if (verdict === "ask") {
      socket.ping();
      this.#events.onDoubt?.();
    }
    this.#arm();
  }
}
