import type { ConnectionId } from "wg-userspace/derp/relay-types";
import { turnsOf } from "../base/gradual-end.ts";

/** A connection that carried no packet for so long is closed without anything to miss. */
const IDLE_MS = 250;

interface Waiting {
  readonly atMs: number;
  packets: number;
  sinceMs: number;
}

/**
 * Which connections of a relay that restarts end when. Each has its turn in the first half of the time; from then on it ends as
 * soon as it is idle, and half the time after its turn whatever it carries. Pure: the shell says how time passes.
 */
export class RelayDrain {
  readonly #waiting = new Map<ConnectionId, Waiting>();
  readonly #halfMs: number;

  constructor(ids: Iterable<ConnectionId>, endMs: number, random: () => number) {
    this.#halfMs = endMs / 2;
    for (const { item, atMs } of turnsOf(ids, this.#halfMs, random))
      this.#waiting.set(item, { atMs, packets: 0, sinceMs: 0 });
  }

  /** No connection waits any more. */
  get isOver(): boolean {
    return this.#waiting.size === 0;
  }

  /** @param packetsOf Packets that a connection has carried so far. Returns the connections to close now. */
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
