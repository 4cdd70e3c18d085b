import type { ConnectionId } from "wg-userspace/derp/relay-types";
import { turnsOf } from "../base/gradual-end.ts";

/** A connection that has carried no packet for this long is idle and can be closed without loss. */
const IDLE_MS = 250;

interface Waiting {
  readonly atMs: number;
  packets: number;
  sinceMs: number;
}

/**
 * Decides when each connection of a relay that restarts is closed. Each has its turn in the first half of the time. From then on
 * it is closed as soon as it is idle, and half the time after its turn in any case. Pure: the caller supplies the time.
 */
export class RelayDrain {
  readonly #waiting = new Map<ConnectionId, Waiting>();
  readonly #halfMs: number;

  constructor(ids: Iterable<ConnectionId>, endMs: number, random: () => number) {
    this.#halfMs = endMs / 2;
    for (const { item, atMs } of turnsOf(ids, this.#halfMs, random))
      this.#waiting.set(item, { atMs, packets: 0, sinceMs: 0 });
  }

  /** Whether no connection is waiting any more. */
  get isOver(): boolean {
    return this.#waiting.size === 0;
  }

  /**
   * @param packetsOf The number of packets that a connection has carried so far.
   * @returns the connections to close now.
   */
  step(
    elapsedMs: number,
    packetsOf: (id: ConnectionId) => number,
  ): { readonly id: ConnectionId; readonly isBusy: boolean }[] {
    const over: { id: ConnectionId; isBusy: boolean }[] = [];
    for (const [id, waiting] of this.#waiting) {
      const packets = packetsOf(id);
      if (packets !== waiting.packets) {
        waiting.packets = packets;
        waiting.sinceMs = elapsedMs;
      }
      const isBusy = elapsedMs - waiting.sinceMs < IDLE_MS;
      if (elapsedMs < waiting.atMs || (isBusy && elapsedMs < waiting.atMs + this.#halfMs)) continue;
      this.#waiting.delete(id);
      over.push({ id, isBusy });
    }
    return over;
  }
}
