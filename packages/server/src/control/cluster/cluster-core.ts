import { toBinary } from "@bufbuild/protobuf";
import { NodeSchema } from "coder-protocol/gen/tailnet_pb.js";
import type { Coordinator } from "../coordinator.ts";
import type { CoordinatorRecord } from "../coordinator-records.ts";
import { Outbox, type PeerChange } from "./outbox.ts";
import { type Rows, reasonText, type ServerRow, type WholeServer } from "./rows.ts";
import { ClusterView } from "./view.ts";

/** The coordinator of this server and the data that it exchanges with the others; all but the database access itself. */
export class ClusterCore {
  readonly outbox = new Outbox();
  readonly view: ClusterView;
  readonly #coordinator: Coordinator;
  readonly #now: () => number;
  readonly #databaseMs: () => number;
  readonly #monotonicMs: () => number;
  /** The last row written for each peer that is connected here. */
  readonly #rows = new Map<string, PeerChange>();

  /**
   * @param options.me The id of this server; never one that was used before.
   * @param options.databaseMs The database's time, as far as it is known.
   * @param options.monotonicMs A monotonic clock.
   */
  constructor(options: {
    readonly me: string;
    readonly coordinator: Coordinator;
    readonly now: () => number;
    readonly databaseMs: () => number;
    readonly monotonicMs: () => number;
  }) {
    const { me, coordinator, now } = options;
    this.#coordinator = coordinator;
    this.#now = now;
    this.#databaseMs = options.databaseMs;
    this.#monotonicMs = options.monotonicMs;
    this.view = new ClusterView(me, {
      remotePeer: (id, peer) => coordinator.remotePeer(id, peer, now()),
      remoteGone: (id, end, reason) => coordinator.remoteGone(id, end, reason, now()),
      remoteTunnel: (from, to, gone) => coordinator.remoteTunnel(from, to, gone, now()),
      remoteSignal: (from, to) => coordinator.remoteSignal(from, to),
      moved: (id) => coordinator.moved(id, now()),
      tunnelsOf: (id) => coordinator.tunnelsOf(id),
      concerns: (id) => coordinator.concerns(id),
    });
  }

  /** Handles a change of this server's own peers; see CoordinatorEvents.onRecord. */
  record(record: CoordinatorRecord): void {
    switch (record.kind) {
      case "connected": {
        const { id, auth } = record;
        const session = this.view.newSession(id, this.#databaseMs());
        const reason = reasonText(auth);
        this.#write({ id, state: "here", kind: auth.kind, session, key: undefined, node: undefined, reason });
        for (const other of this.#coordinator.partnersOf(id)) this.view.concerned(other);
        return;
      }
      case "node": {
        const row = this.#rows.get(record.id);
        const { node } = record;
        if (row !== undefined) this.#write({ ...row, key: node.key.subarray(2), node: toBinary(NodeSchema, node) });
        return;
      }
      case "gone":
        this.#gone(record.id, record.end, record.reason);
        return;
      case "tunnel":
        this.outbox.addTunnel({ from: record.from, to: record.to, gone: record.gone });
        if (!record.gone) this.view.concerned(record.to);
        return;
      case "signal":
        this.outbox.addSignal({ from: record.from, to: record.to });
    }
  }

  /** Takes the list of servers that are in the database now. */
  heartbeats(rows: readonly ServerRow[]): void {
    this.view.heartbeats(rows, this.#monotonicMs());
  }

  /** Takes rows of another server, which were read completely up to `seen`. */
  read(server: string, rows: Rows, seen: number): void {
    this.view.read(server, rows, seen, this.#now());
  }

  /** Takes all rows of another server; see ClusterView.reconcile. */
  reconcile(server: string, rows: WholeServer): number {
    return this.view.reconcile(server, rows, this.#now());
  }

  /** Forgets what can no longer matter. Call periodically. */
  sweep(): void {
    this.view.sweep(this.#now());
  }

  /** The rows of this server were lost: all of them are written again, under an id that was never used. */
  restart(me: string): void {
    this.outbox.restart();
    this.view.rename(me);
    this.#rows.clear();
    this.#coordinator.recordAll();
  }

  #write(row: PeerChange): void {
    this.#rows.set(row.id, row);
    this.outbox.addPeer(row);
  }

  #gone(id: string, state: PeerChange["state"], reason: string): void {
    // A peer that was lost before ends now, with a session older than any that it may have elsewhere.
    const row = this.#rows.get(id) ?? { id, kind: "client", session: 0, key: undefined };
    this.#rows.delete(id);
    this.outbox.addPeer({ ...row, state, reason, node: undefined });
    this.view.left(id, this.#now());
  }
}
