import type { AccessOutboxRow } from "../../db/access-outbox.ts";
import type { Batch } from "./outbox.ts";
import type { EventRow, NodeRow, Rows, ServerRow, WholePage } from "./rows.ts";

/** A server as its siblings and administrators see it. */
export interface Replica {
  /** New at every start. */
  readonly id: string;
  readonly hostname: string;
  /** `http(s)://host[:port]`, where siblings reach its relay; "" if they cannot. */
  readonly relayAddress: string;
  readonly regionId: number;
  readonly version: string;
  readonly startedAt: number;
  /** The problem in words; "" if there is none. */
  readonly error: string;
  /** Duration of one small query. */
  readonly databaseLatencyUs: number;
}

/** The servers as seen in the database. */
export interface Heartbeat {
  /** Includes this server, unless its row is gone. */
  readonly servers: readonly ServerRow[];
  /** The database's time; undefined if there is no server at all. */
  readonly databaseMs: number | undefined;
  /** Used share of the queue of notifications, 0 to 1. */
  readonly queueUsage: number | undefined;
}

export interface ReadRows {
  readonly rows: Rows;
  readonly events: readonly EventRow[];
  /** Changes up to this number have been read completely. */
  readonly seen: number;
  /** Rows that were omitted because they break a limit. */
  readonly bad: number;
}

/** Receives notifications about other servers. */
export interface HintListener {
  onHint(server: string, head: number): void;
  /** The connection ended: hints are missed until `listen` is called again. */
  onLost(reason: unknown): void;
}

/**
 * The tables that the servers of a cluster share. Every method rejects if the database does not answer in time; the next call
 * reconnects. `write`, `heartbeat` and `hint` must be called one at a time, and so must `read`, `readWhole`, `nodes` and `heads`.
 */
export interface ClusterDatabase extends AsyncDisposable {
  /** Registers this server. `me` was never used before. */
  join(me: string, replicaId: string): Promise<void>;
  heartbeat(me: string): Promise<Heartbeat>;
  /** Records the state of this server. Returns all servers that have recorded theirs recently, this one included. */
  replicas(mine: Replica): Promise<readonly Replica[]>;
  /**
   * Writes a batch in one statement. Returns false if nothing was written, because this server's row is gone, the database has lost
   * changes up to `written`, the last one that it confirmed, or a later batch has been written in the meantime.
   */
  write(me: string, batch: Batch, written: number): Promise<boolean>;
  /**
   * Takes over events in `access_outbox` that were not published, so that this server publishes them. Other servers do not get
   * them for a while, until the batch that contains them removes them.
   */
  adopt(): Promise<readonly AccessOutboxRow[]>;
  /** Notifies the others that there is something to read. The notification may be lost. */
  hint(me: string, head: number): Promise<void>;
  /** Changes of a server above `after` and up to `upTo`, as many as one statement returns. */
  read(server: string, after: number, upTo: number): Promise<ReadRows>;
  /** Peers and tunnels of a server with numbers above `after`, as many as one statement returns. */
  readWhole(server: string, after: number): Promise<WholePage>;
  nodes(server: string, ids: readonly string[]): Promise<readonly NodeRow[]>;
  /** The number of each server's last change. */
  heads(): Promise<ReadonlyMap<string, number>>;
  /**
   * Resolves once hints are delivered. Resolves to false if the database accepts the command but delivers none, as a pooler does.
   */
  listen(listener: HintListener): Promise<boolean>;
  /** Records that this server is stopping: its peers will return elsewhere. */
  drain(me: string): Promise<void>;
  /** Records that this server has ended. */
  leave(replicaId: string): Promise<void>;
  /** Removes what expired servers left behind, and changes that every reader has seen. Only one server does so at a time. */
  sweep(): Promise<void>;
}
