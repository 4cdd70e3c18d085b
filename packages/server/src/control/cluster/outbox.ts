import type { EventRow, NodeRow, PeerRow, Rows, SignalRow, TunnelRow } from "./rows.ts";

/** Rows in one statement. */
const MAX_BATCH_ROWS = 500;
/** Signals that wait; beyond it the oldest is dropped, and the client's handshake begins without it. */
const MAX_SIGNALS = 4_096;
/** Events that wait while the database is away; beyond it the oldest is dropped, and what it ends is found by the next check. */
const MAX_EVENTS = 16_384;

type Numbered = "rev";

export type PeerChange = Omit<PeerRow & NodeRow, Numbered>;
export type TunnelChange = Omit<TunnelRow, Numbered>;
export type SignalChange = Omit<SignalRow, Numbered>;

/** `key`: a later event of the same key stands for an earlier one that still waits. */
export interface EventChange extends Omit<EventRow, Numbered> {
  readonly key: string;
  /** Of the row that kept the event until it is written here: it goes with the same statement. */
  readonly outboxId?: string | undefined;
}

/** Changes that are written as one statement. */
export interface Batch extends Omit<Rows, "peers"> {
  readonly peers: readonly (PeerRow & NodeRow)[];
  readonly events: readonly (EventRow & EventChange)[];
  /** The number of the last of them. */
  readonly head: number;
}

/**
 * Changes that wait to be written, the latest of each peer and each tunnel only. One batch is under way at a time; it is
 * taken back when its write failed. Numbers are given out once and never used again.
 */
export class Outbox {
  readonly #peers = new Map<string, PeerChange>();
  readonly #tunnels = new Map<string, TunnelChange>();
  readonly #events = new Map<string, EventChange>();
  #signals: SignalChange[] = [];
  #batch: Batch | undefined;
  #head = 0;

  /** Changes that wait, those under way not counted. */
  get waiting(): number {
    return this.#peers.size + this.#tunnels.size + this.#signals.length + this.#events.size;
  }

  addPeer(change: PeerChange): void {
    this.#peers.delete(change.id);
    this.#peers.set(change.id, change);
  }

  addTunnel(change: TunnelChange): void {
    this.#tunnels.set(tunnelKey(change), change);
  }

  addSignal(change: SignalChange): void {
    this.#signals.push(change);
    if (this.#signals.length > MAX_SIGNALS) this.#signals.shift();
  }

  addEvent(change: EventChange): void {
    this.#events.set(change.key, change);
    if (this.#events.size <= MAX_EVENTS) return;
    const [oldest] = this.#events.keys();
    this.#events.delete(oldest!);
  }

  /** The next batch; undefined when nothing waits or a batch is under way. */
  take(): Batch | undefined {
    if (this.#batch !== undefined || this.waiting === 0) return undefined;
    let room = MAX_BATCH_ROWS;
    const numbered = <Change>(changes: Iterable<Change>): (Change & { readonly rev: number })[] => {
      const taken: (Change & { readonly rev: number })[] = [];
      for (const change of changes) {
        if (room === 0) break;
        room--;
        taken.push({ ...change, rev: ++this.#head });
      }
      return taken;
    };
    // What takes a right away goes first.
    const events = numbered(this.#events.values());
    // A peer's tunnels leave before the peer: a reader of the peer has them already.
    const tunnels = numbered(this.#tunnels.values());
    const peers = numbered(this.#peers.values());
    const signals = numbered(this.#signals);
    for (const { key } of events) this.#events.delete(key);
    for (const tunnel of tunnels) this.#tunnels.delete(tunnelKey(tunnel));
    for (const { id } of peers) this.#peers.delete(id);
    this.#signals = this.#signals.slice(signals.length);
    this.#batch = { peers, tunnels, signals, events, head: this.#head };
    return this.#batch;
  }

  /** The batch under way is in the database. */
  committed(): void {
    this.#batch = undefined;
  }

  /** The batch under way was not written, or perhaps not: its changes wait again, behind nothing newer of the same. */
  failed(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    for (const { rev: _, ...event } of batch.events) if (!this.#events.has(event.key)) this.addEvent(event);
    const newer = { peers: [...this.#peers.values()], tunnels: [...this.#tunnels.values()], signals: this.#signals };
    this.#peers.clear();
    this.#tunnels.clear();
    this.#signals = [];
    for (const { rev: _, ...peer } of batch.peers) this.addPeer(peer);
    for (const { rev: _, ...tunnel } of batch.tunnels) this.addTunnel(tunnel);
    for (const { rev: _, ...signal } of batch.signals) this.addSignal(signal);
    for (const peer of newer.peers) this.addPeer(peer);
    for (const tunnel of newer.tunnels) this.addTunnel(tunnel);
    for (const signal of newer.signals) this.addSignal(signal);
  }

  /** The server has a new identity: numbers begin again, and everything that holds has to be added again. Events stay. */
  restart(): void {
    this.failed();
    this.#peers.clear();
    this.#tunnels.clear();
    this.#signals = [];
    this.#head = 0;
  }
}

function tunnelKey({ from, to }: TunnelChange): string {
  return `${from} ${to}`;
}
