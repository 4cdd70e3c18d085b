/**
 * Peers whose control connection was lost while others had a tunnel with them. Such a tunnel continues without the server, so
 * these peers are kept in order to inform their partners when the right to a tunnel ends. The class also keeps which partners
 * have to be informed again on their next connection that a peer has ended, because a message sent on a dying connection may
 * never arrive.
 */
import { GRACE_MS } from "./known-keys.ts";
import type { PeerAuth } from "./peer-auth.ts";

/** As long as a silent connection inside a tunnel lasts. */
const KEEP_MS = 72 * 3_600_000;
/**
 * Lost peers kept for one user or agent. Beyond that, a peer of the partner that has the most of them is ended, the oldest first.
 */
export const MAX_FORMER_PER_HOLDER = 1024;
/** Maximum number of ended peers kept for one receiver, and of receivers. */
const MAX_ENDINGS = 256;
const MAX_RECEIVERS = 20_000;
/** Keys of one lost peer; more than a connected one may have. */
const MAX_KEYS = 4;

/** A peer that has ended, and the peers to inform. */
export interface Over {
  readonly id: string;
  readonly auth: PeerAuth;
  readonly partners: readonly string[];
  /** Keys that it had recently. */
  readonly keys: readonly Uint8Array[];
}

/** The right to one tunnel while it is being looked up. */
export interface RightWatch {
  /** Whether an event has ended the right since the watch began. */
  readonly isOver: boolean;
  stop(): void;
}

interface Former {
  readonly auth: PeerAuth;
  readonly partners: Set<string>;
  readonly keys: readonly Uint8Array[];
  until: number;
}

export class FormerPeers {
  readonly #former = new Map<string, Former>();
  readonly #holders = new Map<string, Set<string>>();
  readonly #watches = new Set<{ readonly auth: PeerAuth; readonly partner: string; isOver: boolean }>();
  readonly #endings = new Map<string, Map<string, number>>();

  get size(): number {
    return this.#former.size;
  }

  has(id: string): boolean {
    return this.#former.has(id);
  }

  /** Whether `partner` is informed when the right of `id` ends. */
  watches(id: string, partner: string): boolean {
    return this.#former.get(id)?.partners.has(partner) === true;
  }

  /** A peer was lost. Returns the peers that have to end because there are too many. */
  lost(id: string, auth: PeerAuth, partners: readonly string[], keys: readonly Uint8Array[], nowMs: number): Over[] {
    const before = this.#former.get(id);
    const olderKeys = before?.keys.filter((key) => !keys.some((other) => Buffer.compare(key, other) === 0)) ?? [];
    this.#forget(id);
    this.#former.set(id, {
      auth,
      partners: new Set([...(before?.partners ?? []), ...partners]),
      keys: [...olderKeys, ...keys].slice(-MAX_KEYS),
      until: nowMs + KEEP_MS,
    });
    const ids = this.#holders.get(auth.holder) ?? new Set<string>();
    this.#holders.set(auth.holder, ids);
    ids.add(id);
    return ids.size <= MAX_FORMER_PER_HOLDER ? [] : this.#endWatched(this.#surplus(ids));
  }

  watchRight(auth: PeerAuth, partner: string): RightWatch {
    const watch = { auth, partner, isOver: false, stop: () => void this.#watches.delete(watch) };
    this.#watches.add(watch);
    return watch;
  }

  /** The coordinator again knows a tunnel between the two, or its end. */
  rejoined(id: string, partner: string): void {
    const former = this.#former.get(id);
    if (former?.partners.delete(partner) !== true || former.partners.size > 0) return;
    // No partner is left to inform, but its keys may still be in use.
    if (former.keys.length === 0) this.#forget(id);
    else former.until += GRACE_MS - KEEP_MS;
  }

  /** Removes and returns a peer; empty if it is not here. */
  end(id: string): Over[] {
    const former = this.#former.get(id);
    if (former === undefined) return [];
    this.#forget(id);
    return [{ id, auth: former.auth, partners: [...former.partners], keys: former.keys }];
  }

  /** Removes and returns the peers whose right has ended. */
  endAll(isOver: (auth: PeerAuth) => boolean): Over[] {
    for (const watch of this.#watches) if (isOver(watch.auth)) watch.isOver = true;
    return [...this.#former].filter(([, { auth }]) => isOver(auth)).flatMap(([id]) => this.end(id));
  }

  /** Removes and returns single tunnels of lost peers, each as the end of its peer for that partner only. */
  endTunnels(isOver: (auth: PeerAuth, partner: string) => boolean): Over[] {
    for (const watch of this.#watches) if (isOver(watch.auth, watch.partner)) watch.isOver = true;
    return [...this.#former].flatMap(([id, { auth, partners, keys }]) => {
      const over = [...partners].filter((partner) => isOver(auth, partner));
      if (over.length === 0) return [];
      for (const partner of over) partners.delete(partner);
      if (partners.size > 0) return [{ id, auth, partners: over, keys: [] }];
      this.#forget(id);
      return [{ id, auth, partners: over, keys }];
    });
  }

  /** Removes and returns the peers that were away too long. */
  sweep(nowMs: number): Over[] {
    for (const [receiver, endings] of this.#endings) {
      for (const [id, until] of endings) if (until <= nowMs) endings.delete(id);
      if (endings.size === 0) this.#endings.delete(receiver);
    }
    return [...this.#former].filter(([, { until }]) => until <= nowMs).flatMap(([id]) => this.#endWatched(id));
  }

  /** `receiver` has to be informed that `id` has ended, now and on its next connection. */
  remind(receiver: string, id: string, nowMs: number): void {
    const endings = this.#endings.get(receiver) ?? new Map<string, number>();
    this.#endings.delete(receiver);
    this.#endings.set(receiver, endings);
    endings.delete(id);
    endings.set(id, nowMs + KEEP_MS);
    dropOldest(endings, MAX_ENDINGS);
    dropOldest(this.#endings, MAX_RECEIVERS);
  }

  /** The peers whose end `receiver` has to be informed of. */
  reminders(receiver: string): string[] {
    return [...(this.#endings.get(receiver)?.keys() ?? [])];
  }

  /** `id` has returned, for `receiver` too. */
  isBack(receiver: string, id: string): void {
    const endings = this.#endings.get(receiver);
    if (endings?.delete(id) === true && endings.size === 0) this.#endings.delete(receiver);
  }

  /**
   * Chooses which of one holder's peers is ended for lack of room. It belongs to the partner that has the most, so that a partner
   * that states ever more peers takes no room from others.
   */
  #surplus(ids: ReadonlySet<string>): string {
    const counts = new Map<string, number>();
    for (const id of ids)
      for (const partner of this.#former.get(id)!.partners) counts.set(partner, (counts.get(partner) ?? 0) + 1);
    const [most] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a), ["", 0]);
    const [oldest] = ids;
    return [...ids].find((id) => [...this.#former.get(id)!.partners].every((other) => other === most)) ?? oldest!;
  }

  /** Like end, but a peer without partners to inform is only forgotten: it may be connected elsewhere. */
  #endWatched(id: string): Over[] {
    return this.end(id).filter(({ partners }) => partners.length > 0);
  }

  #forget(id: string): void {
    const former = this.#former.get(id);
    if (former === undefined) return;
    this.#former.delete(id);
    const ids = this.#holders.get(former.auth.holder);
    ids?.delete(id);
    if (ids?.size === 0) this.#holders.delete(former.auth.holder);
  }
}

function dropOldest<Key>(map: Map<Key, unknown>, limit: number): void {
  const [oldest] = map.keys();
  if (map.size > limit && oldest !== undefined) map.delete(oldest);
}
