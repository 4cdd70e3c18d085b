import type { AccessOutboxRow } from "../../db/access-outbox.ts";
import type { Batch } from "./outbox.ts";
import type { EventRow, NodeRow, Rows, ServerRow, WholePage } from "./rows.ts";

/** A server as its siblings, and administrators, see it. */
export interface Replica {
  /** Made at every start. */
  readonly id: string;
  readonly hostname: string;
  /** `http(s)://host[:port]`, at which siblings reach its relay; "" for none. */
  readonly relayAddress: string;
  readonly regionId: number;
  readonly version: string;
  readonly startedAt: number;
  /** What is wrong, in words; "" for nothing. */
  readonly error: string;
  /** Of one small query. */
  readonly databaseLatencyUs: number;
}

/** The servers as the database knows them. */
export interface Heartbeat {
  /** This server among them, unless its row is gone. */
  readonly servers: readonly ServerRow[];
  /** The database's time; undefined when there is no server at all. */
  readonly databaseMs: number | undefined;
  /** Used share of the queue of notifications, 0 to 1. */
  readonly queueUsage: number | undefined;
}

export interface ReadRows {
  readonly rows: Rows;
  readonly events: readonly EventRow[];
  /** All changes up to this number were read. */
  readonly seen: number;
  /** Rows that were left out because they break a limit. */
  readonly bad: number;
}

/** What is heard of other servers without asking. */
export interface HintListener {
  onHint(server: string, head: number): void;
  /** The connection ended: hints are missed until `listen` was called again. */
  onLost(reason: unknown): void;
}

/**
 * The tables that the servers of a cluster share. Every method rejects when the database does not answer in time; the
 * next call dials again. `write`, `heartbeat` and `hint` are called one at a time, and so are `read`,
 * `readWhole`, `nodes` and `heads`.
 */
export interface ClusterDatabase extends AsyncDisposable {
  /** Makes this server known. `me` was never used before. */
  join(me: string, replicaId: string): Promise<void>;
  heartbeat(me: string): Promise<Heartbeat>;
  /** States how this server is. Returns all that have done so lately, this one among them. */
  replicas(mine: Replica): Promise<readonly Replica[]>;
  /**
   * Writes a batch in one statement. False: nothing was written, since this server's row is gone, or the database has lost changes
   * up to `written`, the last one that it confirmed.
   */
  write(me: string, batch: Batch, written: number): Promise<boolean>;
  /**
   * Events in `access_outbox` that were not published, for this server to publish: until the batch that has them removes them, no
   * other server gets them for a while.
   */
  adopt(): Promise<readonly AccessOutboxRow[]>;
  /** Tells the others that there is something to read. May be lost. */
  hint(me: string, head: number): Promise<void>;
  /** Changes of a server above `after`, up to `upTo`, as many as one statement returns. */
  read(server: string, after: number, upTo: number): Promise<ReadRows>;
  /** Peers and tunnels of a server with numbers above `after`, as many as one statement returns. */
  readWhole(server: string, after: number): Promise<WholePage>;
  nodes(server: string, ids: readonly string[]): Promise<readonly NodeRow[]>;
  /** Number of the last change of each server. */
  heads(): Promise<ReadonlyMap<string, number>>;
  /** Resolves once hints are delivered. False: the database accepts it and delivers none, as a pooler does. */
  listen(listener: HintListener): Promise<boolean>;
  /** This server ends: its peers come back elsewhere. */
  drain(me: string): Promise<void>;
  /** This server has ended. */
  leave(replicaId: string): Promise<void>;
  /** Removes what expired servers left behind, and changes that every reader has seen; by one server at a time. */
  sweep(): Promise<void>;
}
