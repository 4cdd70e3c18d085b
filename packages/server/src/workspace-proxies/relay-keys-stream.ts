/**
 * Informs proxies of the node keys that may use their relays: of all keys when the connection opens, and of changes from then on.
 * Each connection has one message in flight, and further changes are collected meanwhile: a proxy that reads slowly gets fewer
 * messages, and never an old state after a newer one.
 */
import { MAX_RELAY_KEYS_PER_MESSAGE, type RelayKeysMessage } from "coder-protocol/rest/workspace-proxies";
import { hexEncode } from "wg-userspace/base/bytes";
import type { AccessEvents } from "../auth/access-events.ts";
import { CLOSE_POLICY, CLOSE_PROTOCOL_ERROR, type TextSocket } from "../base/text-sockets.ts";

/**
 * Maximum number of changes that wait for one connection. A proxy that falls further behind has to reconnect and gets all keys.
 */
const MAX_WAITING = 100_000;
const CLOSE_TRY_AGAIN = 1013;

export class RelayKeysStream {
  readonly #keys: () => readonly string[];
  readonly #followers = new Set<Follower>();
  readonly #stop: () => void;
  /** The complete list, shared by the streams that open before the next change. */
  #all: readonly string[] | undefined;

  /** @param keys In hex: all that may use a relay now. */
  constructor(keys: () => readonly string[], events: AccessEvents) {
    this.#keys = keys;
    this.#stop = events.subscribe((event) => {
      if (event.kind !== "proxy-revoked") return;
      for (const follower of this.#followers)
        if (follower.proxyId === event.proxyId) follower.socket.close(CLOSE_POLICY, "the token ended");
    });
  }

  follow(socket: TextSocket, proxyId: string): void {
    this.#all ??= this.#keys();
    const follower = new Follower(socket, proxyId, this.#all);
    this.#followers.add(follower);
    socket.onClose(() => this.#followers.delete(follower));
    socket.onMessage(() => socket.close(CLOSE_PROTOCOL_ERROR, "nothing may be sent here"));
  }

  /** The key may use relays. */
  admitHeld(publicKey: Uint8Array): void {
    this.#change(publicKey, "add");
  }

  /** The key may not use relays any more. */
  revoke(publicKey: Uint8Array): void {
    this.#change(publicKey, "remove");
  }

  /**
   * Ends every stream, so that proxies open another one at a server that serves them. Later changes here reach none of them, for
   * example when the keys of peers leave because the peers move to another server.
   */
  endAll(reason: string): void {
    for (const { socket } of this.#followers) socket.close(CLOSE_TRY_AGAIN, reason);
    this.#followers.clear();
  }

  close(): void {
    this.#stop();
  }

  #change(publicKey: Uint8Array, change: "add" | "remove"): void {
    this.#all = undefined;
    if (this.#followers.size === 0) return;
    const key = hexEncode(publicKey);
    for (const follower of this.#followers) follower.change(key, change);
  }
}

class Follower {
  readonly socket: TextSocket;
  readonly proxyId: string;
  /** The unsent rest of the first, complete list; undefined once it is sent. */
  #snapshot: readonly string[] | undefined;
  #snapshotAt = 0;
  /** The latest change by key. */
  #waiting = new Map<string, "add" | "remove">();
  #underWay = false;

  constructor(socket: TextSocket, proxyId: string, keys: readonly string[]) {
    this.socket = socket;
    this.proxyId = proxyId;
    this.#snapshot = keys;
    this.#send();
  }

  change(key: string, change: "add" | "remove"): void {
    this.#waiting.set(key, change);
    if (this.#waiting.size > MAX_WAITING) this.socket.close(CLOSE_TRY_AGAIN, "too far behind");
    else if (!this.#underWay) {
      // Further changes in this turn are sent with it.
      this.#underWay = true;
      setImmediate(() => this.#send());
    }
  }

  #send(): void {
    const message = this.#nextMessage();
    this.#underWay = message !== undefined;
    if (message !== undefined) this.socket.send(JSON.stringify(message), () => this.#send());
  }

  #nextMessage(): RelayKeysMessage | undefined {
    if (this.#snapshot !== undefined) return this.#nextOfSnapshot(this.#snapshot);
    if (this.#waiting.size === 0) return undefined;
    const remove: string[] = [];
    const add: string[] = [];
    for (const [key, change] of this.#waiting) {
      if (add.length + remove.length >= MAX_RELAY_KEYS_PER_MESSAGE) break;
      (change === "add" ? add : remove).push(key);
      this.#waiting.delete(key);
    }
    return { add, remove };
  }

  #nextOfSnapshot(keys: readonly string[]): RelayKeysMessage {
    const first = this.#snapshotAt === 0;
    const end = this.#snapshotAt + MAX_RELAY_KEYS_PER_MESSAGE;
    const add = keys.slice(this.#snapshotAt, end);
    this.#snapshotAt = end;
    const more = end < keys.length;
    if (!more) this.#snapshot = undefined;
    return { snapshot: first || undefined, more: more || undefined, add };
  }
}
