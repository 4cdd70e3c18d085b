import type { AddrPort } from "../base/ip.ts";
import type { PacketMemory } from "../base/ports.ts";

const INITIAL_BUCKETS = 64;

/** An owner of a four-tuple. `value` is the table's content. */
export class TableEntry<T> {
  readonly value: T;
  readonly localPort: number;
  readonly remotePort: number;
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
  readonly hash: number;
  next: TableEntry<T> | undefined = undefined;

  constructor(value: T, local: AddrPort, remote: AddrPort, hash: number) {
    this.value = value;
    this.local = local.address;
    this.remote = remote.address;
    this.localPort = local.port;
    this.remotePort = remote.port;
    this.hash = hash;
  }
}

/**
 * Four-tuple → owner, looked up directly from packet bytes: no string, no object per packet. Chained buckets with a
 * seeded hash, so that a peer cannot choose addresses that collide.
 */
export class ConnectionTable<T> {
  #buckets: (TableEntry<T> | undefined)[] = new Array(INITIAL_BUCKETS).fill(undefined);
  #size = 0;
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed | 1;
  }

  get size(): number {
    return this.#size;
  }

  /** Addresses are `addressLength` bytes at the offsets. */
  find(
    memory: PacketMemory,
    localOffset: number,
    remoteOffset: number,
    addressLength: number,
    localPort: number,
    remotePort: number,
  ): T | undefined {
    const { bytes } = memory;
    const hash = this.#hash(bytes, remoteOffset, addressLength, localPort, remotePort);
    for (let entry = this.#buckets[hash & (this.#buckets.length - 1)]; entry !== undefined; entry = entry.next) {
      if (
        entry.hash === hash &&
        entry.localPort === localPort &&
        entry.remotePort === remotePort &&
        sameBytes(entry.remote, bytes, remoteOffset, addressLength) &&
        sameBytes(entry.local, bytes, localOffset, addressLength)
      )
        return entry.value;
    }
    return undefined;
  }

  has(local: AddrPort, remote: AddrPort): boolean {
    return this.#locate(local, remote) !== undefined;
  }

  /** The four-tuple must be free. */
  add(value: T, local: AddrPort, remote: AddrPort): void {
    if (this.#size >= 2 * this.#buckets.length) this.#grow();
    const hash = this.#hash(remote.address, 0, remote.address.length, local.port, remote.port);
    const entry = new TableEntry(value, local, remote, hash);
    const bucket = hash & (this.#buckets.length - 1);
    entry.next = this.#buckets[bucket];
    this.#buckets[bucket] = entry;
    this.#size++;
  }

  /** Removes the entry if its owner is `value`. @returns whether it was there. */
  delete(value: T, local: AddrPort, remote: AddrPort): boolean {
    const found = this.#locate(local, remote);
    if (found === undefined || found.value !== value) return false;
    const bucket = found.hash & (this.#buckets.length - 1);
    const first = this.#buckets[bucket];
    if (first === found) this.#buckets[bucket] = found.next;
    else {
      let entry = first;
      while (entry !== undefined && entry.next !== found) entry = entry.next;
      if (entry !== undefined) entry.next = found.next;
    }
    this.#size--;
    return true;
  }

  /** Calls `visit` for each owner; entries added or removed meanwhile may or may not be visited. */
  forEach(visit: (value: T) => void): void {
    const all: T[] = [];
    for (const first of this.#buckets)
      for (let entry = first; entry !== undefined; entry = entry.next) all.push(entry.value);
    for (const value of all) visit(value);
  }

  #locate(local: AddrPort, remote: AddrPort): TableEntry<T> | undefined {
    const length = remote.address.length;
    const hash = this.#hash(remote.address, 0, length, local.port, remote.port);
    let entry = this.#buckets[hash & (this.#buckets.length - 1)];
    while (entry !== undefined) {
      if (
        entry.hash === hash &&
        entry.localPort === local.port &&
        entry.remotePort === remote.port &&
        sameBytes(entry.remote, remote.address, 0, length) &&
        sameBytes(entry.local, local.address, 0, length)
      )
        return entry;
      entry = entry.next;
    }
    return undefined;
  }

  #hash(bytes: Uint8Array, remoteOffset: number, length: number, localPort: number, remotePort: number): number {
    let hash = Math.imul(((localPort << 16) | remotePort) ^ this.#seed, 0x9e3779b1);
    for (let i = 0; i < length; i += 4) {
      const at = remoteOffset + i;
      const word = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
      hash = Math.imul((hash ^ (hash >>> 15) ^ word) + this.#seed, 0x85ebca6b);
    }
    return (hash ^ (hash >>> 13)) | 0;
  }

  #grow(): void {
    const old = this.#buckets;
    this.#buckets = new Array(old.length * 2).fill(undefined);
    const mask = this.#buckets.length - 1;
    for (const first of old) {
      let entry = first;
      while (entry !== undefined) {
        const { next } = entry;
        entry.next = this.#buckets[entry.hash & mask];
        this.#buckets[entry.hash & mask] = entry;
        entry = next;
      }
    }
  }
}

function sameBytes(expected: Uint8Array, bytes: Uint8Array, offset: number, length: number): boolean {
  if (expected.length !== length) return false;
  for (let i = 0; i < length; i++) if (expected[i] !== bytes[offset + i]) return false;
  return true;
}
