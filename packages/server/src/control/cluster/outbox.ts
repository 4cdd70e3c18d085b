import type { EventRow, NodeRow, PeerRow, Rows, SignalRow, TunnelRow } from "./rows.ts";

/** Rows in one statement. */
const MAX_BATCH_ROWS = 500;
/** Signals that may wait. Beyond that the oldest is dropped, and the client's handshake begins without it. */
const MAX_SIGNALS = 4_096;
/**
 * Events that may wait while the database is away. Beyond that the oldest is dropped, and the next periodic check finds what it
 * should have ended.
 */
const MAX_EVENTS = 16_384;

type Numbered = "rev";

export type PeerChange = Omit<PeerRow & NodeRow, Numbered>;
export type TunnelChange = Omit<TunnelRow, Numbered>;
export type SignalChange = Omit<SignalRow, Numbered>;

/** `key`: a later event with the same key replaces one that is still waiting. */
export interface EventChange extends Omit<EventRow, Numbered> {
  readonly key: string;
  /** Id of the row that kept the event until it is written here; the same statement removes that row. */
  readonly outboxId?: string | undefined;
}

/** Changes that are written as one statement. */
export interface Batch extends Omit<Rows, "peers"> {
  readonly peers: readonly (PeerRow & NodeRow)[];
  readonly events: readonly (EventRow & EventChange)[];
  /** The number of the last change in the batch. */
  readonly head: number;
}

/**
 * Changes waiting to be written; only the latest of each peer and each tunnel is kept. One batch is in progress at a time; if its
 * write fails, its changes are taken back. Each number is used once.
 */
export class Outbox {
  readonly #peers = new Map<string, PeerChange>();
  readonly #tunnels = new Map<string, TunnelChange>();
  readonly #events = new Map<string, EventChange>();
  #signals: SignalChange[] = [];
  #batch: Batch | undefined;
  #head = 0;

  /** Number of waiting changes, without those in progress. */
  get waiting(): number {
    return this.#peers.size + this.#tunnels.size + this.#signals.length + this.#events.size;
  }

  /** Whether the next batch is as large as a batch may be. */
  get fillsBatch(): boolean {
    return this.waiting >= MAX_BATCH_ROWS;
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

  /** The next batch; undefined if nothing waits or a batch is in progress. */
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
    // Events that take a right away come first.
    const events = numbered(this.#events.values());
    // A peer's tunnels are numbered before the peer, so that a reader of the peer already has them.
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

  /** The batch in progress was written to the database. */
  committed(): void {
    this.#batch = undefined;
  }

  /**
   * The batch in progress may not have been written: its changes wait again, unless a newer change of the same peer or tunnel has
   * replaced them.
   */
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

  /** The server has a new identity: numbers start again, and everything that still holds must be added again. Events are kept. */
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
