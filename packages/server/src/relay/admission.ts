import type { Instant } from "wg-userspace/base/instant";
import { TokenBucket } from "wg-userspace/base/token-bucket";
import { addressBlock } from "../base/address-block.ts";

export interface AdmissionLimits {
  /** Concurrent connections, in total and of one address. */
  readonly connections: number;
  readonly connectionsPerAddress: number;
  /** New connections per second from one address. */
  readonly handshakesPerSecond: number;
  readonly handshakeBurst: number;
}

export type Refusal = "too-many-connections" | "too-many-from-address" | "handshake-rate";

interface AddressState {
  connections: number;
  readonly rate: TokenBucket;
}

/** Addresses remembered in addition to those with open connections. */
const MAX_IDLE_ADDRESSES = 4096;
const KEPT_SHARE = 7 / 8;

/** Counts connections per source address and limits the rate of new ones. An IPv6 source is its /64. */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #addresses = new Map<string, AddressState>();
  #connections = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  get connections(): number {
    return this.#connections;
  }

  /** Addresses held in memory. */
  get addresses(): number {
    return this.#addresses.size;
  }

  /** Takes a place for a new connection, or returns why there is none. Every place taken must be returned with `leave`. */
  enter(address: string, now: Instant): Refusal | undefined {
    const { connections, connectionsPerAddress, handshakesPerSecond, handshakeBurst } = this.#limits;
    if (this.#connections >= connections) return "too-many-connections";
    const key = addressBlock(address);
    let state = this.#addresses.get(key);
    if (state === undefined) {
      this.#makeRoom(now);
      state = { connections: 0, rate: new TokenBucket(handshakesPerSecond, handshakeBurst) };
      this.#addresses.set(key, state);
    }
    if (!state.rate.take(now)) return "handshake-rate";
    if (state.connections >= connectionsPerAddress) return "too-many-from-address";
    state.connections++;
    this.#connections++;
    return undefined;
  }

  leave(address: string): void {
    const state = this.#addresses.get(addressBlock(address));
    if (state === undefined || state.connections === 0) return;
    state.connections--;
    this.#connections--;
  }

  /**
   * Removes many entries at a time, because each call scans all of them. An address whose bucket is full again is equal to an
   * unknown one and is removed first, then the oldest; addresses with connections are kept.
   */
  #makeRoom(now: Instant): void {
    if (this.#addresses.size < MAX_IDLE_ADDRESSES + this.#connections) return;
    for (const [key, state] of this.#addresses)
      if (state.connections === 0 && state.rate.isFull(now)) this.#addresses.delete(key);
    for (const [key, state] of this.#addresses) {
      if (this.#addresses.size <= MAX_IDLE_ADDRESSES * KEPT_SHARE + this.#connections) return;
      if (state.connections === 0) this.#addresses.delete(key);
    }
  }
}
