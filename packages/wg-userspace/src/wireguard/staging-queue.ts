import { STAGED_PACKETS_PER_PEER } from "./constants.ts";

/** Bytes that the staging queues of a device hold together, and their bound. */
export class StagingBudget {
  readonly limitBytes: number;
  usedBytes = 0;
  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }
}

/**
 * Packets that wait for a session, oldest first. When the queue or the device's budget is full, the oldest is dropped.
 */
export class StagingQueue {
  readonly #packets: Uint8Array[] = [];
  readonly #budget: StagingBudget;

  constructor(budget: StagingBudget) {
    this.#budget = budget;
  }

  get length(): number {
    return this.#packets.length;
  }

  /** Takes ownership of the packet. Returns how many packets were dropped, which may include this one. */
  push(packet: Uint8Array): number {
    let dropped = 0;
    this.#packets.push(packet);
    this.#budget.usedBytes += packet.length;
    while (
      this.#packets.length > STAGED_PACKETS_PER_PEER ||
      (this.#budget.usedBytes > this.#budget.limitBytes && this.#packets.length > 0)
    ) {
      this.shift();
      dropped++;
    }
    return dropped;
  }

  peek(): Uint8Array | undefined {
    return this.#packets[0];
  }

  shift(): Uint8Array | undefined {
    const packet = this.#packets.shift();
    if (packet !== undefined) this.#budget.usedBytes -= packet.length;
    return packet;
  }

  /** Drops everything; returns the number of packets. */
  clear(): number {
    const dropped = this.#packets.length;
    while (this.#packets.length > 0) this.shift();
    return dropped;
  }
}
