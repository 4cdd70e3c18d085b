/** Which tab follows what, and what is known about it: the part of the stream that neither opens sockets nor waits. */
import type { DashboardMessage } from "coder-protocol/rest/dashboard";
import { type Data, patched, type Subscription, type ToTab } from "./messages.ts";

/** Each tab has its own object. */
export interface Tab {
  post(message: ToTab): void;
}

interface Entry {
  readonly subscription: Subscription;
  readonly tabs: Set<Tab>;
  /** Id in the current connection; undefined while there is none. */
  id: number | undefined;
  data: Data | undefined;
  /** Data of which further parts are still to come. */
  coming: Data | undefined;
  error: { readonly status: number; readonly message: string } | undefined;
}

export class SubscriptionBook {
  readonly #toServer: (text: string) => void;
  readonly #entries = new Map<string, Entry>();
  readonly #byId = new Map<number, string>();
  readonly #tabs = new Set<Tab>();
  #nextId = 1;
  #up = false;

  /** @param toServer Called only between `opened` and `lost`. */
  constructor(toServer: (text: string) => void) {
    this.#toServer = toServer;
  }

  get tabs(): number {
    return this.#tabs.size;
  }

  enter(tab: Tab): void {
    this.#tabs.add(tab);
    tab.post({ type: "link", up: this.#up });
  }

  join(tab: Tab, key: string, subscription: Subscription): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      const created: Entry = {
        subscription,
        tabs: new Set([tab]),
        id: undefined,
        data: undefined,
        coming: undefined,
        error: undefined,
      };
      this.#entries.set(key, created);
      this.#subscribe(key, created);
      return;
    }
    entry.tabs.add(tab);
    if (entry.error !== undefined && this.#up) this.#subscribe(key, entry);
    else if (entry.error !== undefined) tab.post({ type: "error", key, ...entry.error });
    else if (entry.data !== undefined) tab.post({ type: "snapshot", key, data: entry.data });
  }

  leave(tab: Tab, key: string): void {
    const entry = this.#entries.get(key);
    if (entry?.tabs.delete(tab) !== true || entry.tabs.size > 0) return;
    this.#entries.delete(key);
    if (entry.id === undefined) return;
    this.#byId.delete(entry.id);
    // The server has already ended a subscription that failed.
    if (this.#up && entry.error === undefined) this.#toServer(JSON.stringify({ op: "unsub", id: entry.id }));
  }

  /** The tab has closed. */
  gone(tab: Tab): void {
    this.#tabs.delete(tab);
    for (const key of [...this.#entries.keys()]) this.leave(tab, key);
  }

  /** A connection was opened: everything is requested again. Known data stays until the snapshots arrive. */
  opened(): void {
    this.#up = true;
    for (const [key, entry] of this.#entries) this.#subscribe(key, entry);
    this.#notify({ type: "link", up: true });
  }

  lost(): void {
    this.#up = false;
    this.#byId.clear();
    for (const entry of this.#entries.values()) {
      entry.id = undefined;
      entry.coming = undefined;
    }
    this.#notify({ type: "link", up: false });
  }

  denied(): void {
    this.#notify({ type: "denied" });
  }

  received(message: DashboardMessage): void {
    if (!("id" in message)) return;
    const key = this.#byId.get(message.id);
    const entry = key === undefined ? undefined : this.#entries.get(key);
    // Messages that were sent before the subscription ended.
    if (key === undefined || entry === undefined || entry.id !== message.id) return;
    if (message.type !== "error") {
      const { coming } = entry;
      const next =
        message.type === "snapshot" ? message.data : patched(coming ?? entry.data ?? {}, message.set, message.del);
      entry.coming = message.more === true ? next : undefined;
      // Tabs never show a part: a list would become shorter and longer again.
      if (entry.coming !== undefined) return;
      entry.data = next;
      if (message.type === "patch" && coming === undefined)
        post(entry, { type: "patch", key, set: message.set, del: message.del });
      else post(entry, { type: "snapshot", key, data: next });
    } else {
      const { status, message: text } = message;
      entry.error = { status, message: text };
      entry.data = undefined;
      entry.coming = undefined;
      this.#byId.delete(message.id);
      post(entry, { type: "error", key, status, message: text });
    }
  }

  #subscribe(key: string, entry: Entry): void {
    if (!this.#up) return;
    entry.error = undefined;
    entry.id = this.#nextId++;
    this.#byId.set(entry.id, key);
    this.#toServer(JSON.stringify({ op: "sub", id: entry.id, ...entry.subscription }));
  }

  #notify(message: ToTab): void {
    for (const tab of this.#tabs) tab.post(message);
  }
}

function post(entry: Entry, message: ToTab): void {
  for (const tab of entry.tabs) tab.post(message);
}
