/**
 * What an operator wants to know about the servers on one database, derived from what this server reads anyway: which exist, how
 * far it is behind each, which hints did not arrive, and what failed recently.
 */
import { shortReplicaId } from "../../base/replica-id.ts";
import type { Replica } from "./cluster-database.ts";
import type { ServerRow } from "./rows.ts";
import { LOST_AFTER_MS } from "./view.ts";

/** Maximum number of faults kept; a repeated fault is counted with its first occurrence. */
const MAX_FAULTS = 16;

export type ReplicaState = "alive" | "draining" | "lost";
export type ReplicaChange = "joined" | "left" | "lost" | "back";

export interface WatchedServer {
  readonly id: string;
  readonly replicaId: string;
  /** Undefined until it has been read for the first time. */
  readonly replica: Replica | undefined;
  readonly state: ReplicaState;
  readonly head: number;
  /** Changes up to this number have been read here completely. */
  readonly seen: number;
  readonly ageMs: number;
}

export interface Fault {
  readonly what: string;
  count: number;
  lastAtMs: number;
}

interface Known {
  row: ServerRow;
  hinted: number;
  /** Its head at the previous heartbeat. */
  due: number;
  seen: number;
  state: ReplicaState;
  lostAtMs: number;
}

export class ClusterWatch {
  /** Changes that were noticed through a heartbeat instead of a hint. */
  recovered = 0;
  /** Rows of other servers in which the database differed from this server's view. */
  reconciled = 0;
  readonly #servers = new Map<string, Known>();
  readonly #replicas = new Map<string, Replica>();
  readonly #onChange: (change: ReplicaChange, fields: Readonly<Record<string, unknown>>) => void;
  #faults: Fault[] = [];
  #isFirst = true;

  /** @param onChange Called when another server appears or disappears. */
  constructor(onChange: (change: ReplicaChange, fields: Readonly<Record<string, unknown>>) => void) {
    this.#onChange = onChange;
  }

  get faults(): readonly Fault[] {
    return this.#faults;
  }

  /** The servers in the database; if a process has joined several times, only its last. */
  servers(): WatchedServer[] {
    const last = new Map<string, Known>();
    for (const known of this.#servers.values()) {
      const other = last.get(known.row.replicaId);
      if (other === undefined || known.row.ageMs < other.row.ageMs) last.set(known.row.replicaId, known);
    }
    return [...last.values()].map(({ row, state, seen }) => ({
      id: row.id,
      replicaId: row.replicaId,
      replica: this.#replicas.get(row.replicaId),
      state,
      head: row.head,
      seen: Math.min(seen, row.head),
      ageMs: row.ageMs,
    }));
  }

  /** @param me This server's own id: it has seen all its own changes. */
  heartbeats(rows: readonly ServerRow[], me: string, nowMs: number): void {
    const missing = new Set(this.#servers.keys());
    for (const row of rows) {
      missing.delete(row.id);
      const state = stateOf(row);
      const known = this.#servers.get(row.id);
      if (known === undefined) {
        const { head } = row;
        const seen = row.id === me ? head : 0;
        this.#servers.set(row.id, { row, hinted: head, due: head, seen, state, lostAtMs: nowMs });
        continue;
      }
      if (row.id === me) known.seen = row.head;
      else if (known.due > known.hinted) {
        this.recovered++;
        known.hinted = known.due;
      }
      known.due = row.head;
      known.row = row;
      if (state !== known.state && row.id !== me) this.#changed(known, state, nowMs);
      known.state = state;
    }
    for (const id of missing) this.#servers.delete(id);
  }

  /** A server has changes up to `head`, known from a hint or a poll. */
  hinted(server: string, head: number): void {
    const known = this.#servers.get(server);
    if (known !== undefined) known.hinted = Math.max(known.hinted, head);
  }

  read(server: string, seen: number): void {
    const known = this.#servers.get(server);
    if (known !== undefined) known.seen = Math.max(known.seen, seen);
  }

  /** The servers that have updated their rows recently, with this one at any position. */
  replicas(all: readonly Replica[], ownId: string): void {
    const gone = new Set(this.#replicas.keys());
    for (const replica of all) {
      gone.delete(replica.id);
      if (!this.#replicas.has(replica.id) && replica.id !== ownId && !this.#isFirst)
        this.#onChange("joined", factsOf(replica.id, replica));
      this.#replicas.set(replica.id, replica);
    }
    this.#isFirst = false;
    const rows = [...this.#servers.values()].map(({ row }) => row.replicaId);
    for (const id of gone) {
      // A lost server does not update its row either; it is kept as long as its row exists.
      const isStopped = [...this.#servers.values()].some(
        ({ row, state }) => row.replicaId === id && state === "draining",
      );
      if (isStopped) this.#onChange("left", factsOf(id, this.#replicas.get(id)));
      if (isStopped || !rows.includes(id)) this.#replicas.delete(id);
    }
  }

  failed(what: string, nowMs: number): void {
    const same = this.#faults.find((fault) => fault.what === what);
    this.#faults = this.#faults.filter((fault) => fault !== same);
    this.#faults.push({ what, count: (same?.count ?? 0) + 1, lastAtMs: nowMs });
    if (this.#faults.length > MAX_FAULTS) this.#faults.shift();
  }

  #changed(known: Known, state: ReplicaState, nowMs: number): void {
    const facts = factsOf(known.row.replicaId, this.#replicas.get(known.row.replicaId));
    if (state === "lost") {
      known.lostAtMs = nowMs;
      this.#onChange("lost", { ...facts, silent_seconds: seconds(known.row.ageMs) });
    } else if (known.state === "lost" && state === "alive")
      this.#onChange("back", { ...facts, after_seconds: seconds(nowMs - known.lostAtMs) });
  }
}

/** A server that is stopping is never lost, however long it is silent. */
function stateOf({ ageMs, drainingMs }: ServerRow): ReplicaState {
  if (drainingMs !== undefined) return "draining";
  return ageMs >= LOST_AFTER_MS ? "lost" : "alive";
}

function factsOf(id: string, replica: Replica | undefined): Readonly<Record<string, unknown>> {
  const replicaId = shortReplicaId(id);
  return replica === undefined
    ? { replica: replicaId }
    : { replica: replicaId, hostname: replica.hostname, version: replica.version };
}

function seconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}
