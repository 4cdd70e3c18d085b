/** Wraps the cluster's database: times each statement, and records what it brings for operators. */
import type { ClusterDatabase, Heartbeat, HintListener, ReadRows, Replica } from "./cluster-database.ts";
import type { ClusterMetrics } from "./cluster-metrics.ts";
import type { ClusterWatch } from "./cluster-watch.ts";
import type { Batch } from "./outbox.ts";
import type { NodeRow, WholePage } from "./rows.ts";

export class WatchedClusterDatabase implements ClusterDatabase {
  readonly #database: ClusterDatabase;
  readonly #watch: ClusterWatch;
  readonly #metrics: ClusterMetrics;
  readonly #now: () => number;
  /** The last hint that this server sent, until it is heard. */
  #sent: { readonly server: string; readonly head: number; readonly at: number } | undefined;

  /** @param options.now Wall clock, for the times of faults. */
  constructor(
    database: ClusterDatabase,
    options: { readonly watch: ClusterWatch; readonly metrics: ClusterMetrics; readonly now: () => number },
  ) {
    this.#database = database;
    this.#watch = options.watch;
    this.#metrics = options.metrics;
    this.#now = options.now;
  }

  join(me: string, replicaId: string): Promise<void> {
    return this.#timed("join", () => this.#database.join(me, replicaId));
  }

  async heartbeat(me: string): Promise<Heartbeat> {
    const heartbeat = await this.#timed("heartbeat", () => this.#database.heartbeat(me));
    this.#watch.heartbeats(heartbeat.servers, me, this.#now());
    this.#metrics.queueUsage(heartbeat.queueUsage ?? 0);
    return heartbeat;
  }

  async replicas(mine: Replica): Promise<readonly Replica[]> {
    const all = await this.#timed("replicas", () => this.#database.replicas(mine));
    this.#watch.replicas(all, mine.id);
    return all;
  }

  async write(me: string, batch: Batch, written: number): Promise<boolean> {
    const startedAt = performance.now();
    const isKnown = await this.#timed("write", () => this.#database.write(me, batch, written));
    const { peers, tunnels, signals, events } = batch;
    const rows = peers.length + tunnels.length + signals.length + events.length;
    if (isKnown) this.#metrics.wrote(rows, (performance.now() - startedAt) / 1_000);
    return isKnown;
  }

  async hint(me: string, head: number): Promise<void> {
    this.#sent = { server: me, head, at: performance.now() };
    const bytes = `${me} ${head}`.length;
    try {
      await this.#timed("hint", () => this.#database.hint(me, head));
    } catch (error) {
      this.#metrics.published(bytes, false);
      throw error;
    }
    this.#metrics.published(bytes, true);
  }

  async read(server: string, after: number, upTo: number): Promise<ReadRows> {
    const rows = await this.#timed("read", () => this.#database.read(server, after, upTo));
    this.#watch.read(server, rows.seen);
    if (rows.bad > 0) this.#watch.failed(`${rows.bad} rows of server ${server} are not valid`, this.#now());
    return rows;
  }

  readWhole(server: string, after: number): Promise<WholePage> {
    return this.#timed("read_whole", () => this.#database.readWhole(server, after));
  }

  nodes(server: string, ids: readonly string[]): Promise<readonly NodeRow[]> {
    return this.#timed("nodes", () => this.#database.nodes(server, ids));
  }

  async heads(): Promise<ReadonlyMap<string, number>> {
    const heads = await this.#timed("heads", () => this.#database.heads());
    for (const [server, head] of heads) this.#watch.hinted(server, head);
    return heads;
  }

  async listen(listener: HintListener): Promise<boolean> {
    const watched: HintListener = {
      onHint: (server, head) => {
        this.#watch.hinted(server, head);
        const sent = this.#sent;
        if (sent !== undefined && sent.server === server && head >= sent.head) {
          this.#sent = undefined;
          this.#metrics.hintHeard((performance.now() - sent.at) / 1_000);
        }
        listener.onHint(server, head);
      },
      onLost: (reason) => {
        this.#metrics.unsubscribed();
        listener.onLost(reason);
      },
    };
    try {
      const delivers = await this.#timed("listen", () => this.#database.listen(watched));
      this.#metrics.subscribed(delivers);
      return delivers;
    } catch (error) {
      this.#metrics.subscribed(false);
      throw error;
    }
  }

  adopt(): ReturnType<ClusterDatabase["adopt"]> {
    return this.#timed("adopt", () => this.#database.adopt());
  }

  drain(me: string): Promise<void> {
    return this.#timed("drain", () => this.#database.drain(me));
  }

  leave(replicaId: string): Promise<void> {
    return this.#timed("leave", () => this.#database.leave(replicaId));
  }

  sweep(): Promise<void> {
    return this.#timed("sweep", () => this.#database.sweep());
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#database[Symbol.asyncDispose]();
  }

  async #timed<Result>(query: string, run: () => Promise<Result>): Promise<Result> {
    const startedAt = performance.now();
    try {
      return await run();
    } catch (error) {
      this.#watch.failed(`${query}: ${error instanceof Error ? error.message : String(error)}`, this.#now());
      throw error;
    } finally {
      this.#metrics.queried(query, (performance.now() - startedAt) / 1_000);
    }
  }
}
