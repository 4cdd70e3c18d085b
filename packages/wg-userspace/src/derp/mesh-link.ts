/**
 * What one relay of a mesh knows of a sibling: the keys of the clients that are connected there, and the way to them. The
 * relay forwards to the link what it receives for those keys; the sibling delivers it to its own clients and forwards
 * nothing further, so a packet crosses at most one link.
 *
 * Pure. The shell holds the connection to the sibling and reports:
 *
 *     opened ─ present* ─ listed ─ (present | gone)* ─ lost ─ opened …
 */
import { bytesEqual } from "../base/bytes.ts";
import type { RandomSource } from "../base/ports.ts";
import { copyOf, KEY_BYTES } from "./frame.ts";
import { KeyTable } from "./key-table.ts";
import type { PacketForwarder } from "./relay-types.ts";

/** Clients that a sibling may name: ten times what one server accepts. */
const MAX_KEYS = 200_000;

/** What a link uses of the relay that it serves. */
export interface MeshRelay {
  readonly publicKey: Uint8Array;
  addForwarder(publicKey: Uint8Array, forwarder: PacketForwarder): void;
  removeForwarder(publicKey: Uint8Array, forwarder: PacketForwarder): void;
}

/** `self`: the address leads back to this relay, so the link stays unused. */
export type MeshLinkState = "down" | "listing" | "up" | "self";

export interface MeshLinkOptions {
  readonly relay: MeshRelay;
  readonly random: RandomSource;
  /** Queues a packet for the sibling; all arguments are borrowed. Returns false when it was dropped. */
  readonly send: (...packet: Parameters<PacketForwarder["forwardPacket"]>) => boolean;
  readonly maxKeys?: number | undefined;
}

export class MeshLink implements PacketForwarder {
  /** Packets handed to the connection, and packets that it had no room for. */
  readonly counts = { forwarded: 0, dropped: 0 };
  readonly #options: MeshLinkOptions;
  readonly #maxKeys: number;
  #keys: KeyTable<Uint8Array>;
  #state: MeshLinkState = "down";

  constructor(options: MeshLinkOptions) {
    this.#options = options;
    this.#maxKeys = options.maxKeys ?? MAX_KEYS;
    this.#keys = this.#noKeys();
  }

  get state(): MeshLinkState {
    return this.#state;
  }

  /** Clients of the sibling. */
  get keys(): number {
    return this.#keys.size;
  }

  /** The sibling accepted us. Returns false when it is this relay itself: the shell closes the connection for good. */
  opened(serverKey: Uint8Array): boolean {
    const isSelf = bytesEqual(serverKey, this.#options.relay.publicKey);
    this.#state = isSelf ? "self" : "listing";
    return !isSelf;
  }

  /** Every client that the sibling had when the link opened has been named. */
  listed(): void {
    if (this.#state === "listing") this.#state = "up";
  }

  /**
   * A client is connected to the sibling; the key is borrowed. Returns false when the sibling names too many to be
   * true.
   */
  present(key: Uint8Array): boolean {
    const { relay } = this.#options;
    // A sibling names its mesh members as well, this relay among them.
    if (bytesEqual(key, relay.publicKey) || this.#keys.get(key) !== undefined) return true;
    if (this.#keys.size >= this.#maxKeys) return false;
    const owned = copyOf(key, 0, KEY_BYTES);
    this.#keys.add(owned, owned);
    relay.addForwarder(owned, this);
    return true;
  }

  /** A client left the sibling; the key is borrowed. */
  gone(key: Uint8Array): void {
    if (this.#keys.get(key) === undefined) return;
    this.#keys.delete(key);
    this.#options.relay.removeForwarder(key, this);
  }

  /** The connection ended: what was known of the sibling's clients no longer holds. */
  lost(): void {
    if (this.#state !== "self") this.#state = "down";
    const keys = this.#keys;
    this.#keys = this.#noKeys();
    for (const key of keys.values()) this.#options.relay.removeForwarder(key, this);
  }

  forwardPacket(source: Uint8Array, destination: Uint8Array, bytes: Uint8Array, offset: number, length: number): void {
    if (this.#options.send(source, destination, bytes, offset, length)) this.counts.forwarded++;
    else this.counts.dropped++;
  }

  #noKeys(): KeyTable<Uint8Array> {
    return new KeyTable(this.#options.random.uint32());
  }
}
