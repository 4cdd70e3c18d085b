import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { shortReplicaId } from "../../base/replica-id.ts";
import type { ClusterWatch, ReplicaState } from "./cluster-watch.ts";

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const ROWS = [1, 2, 5, 10, 25, 50, 100, 250, 500];

/** Metrics about the servers on one database. Labels name a server by its short id, so there are as many values as servers. */
export class ClusterMetrics {
  readonly #batchRows: Histogram;
  readonly #writeSeconds: Histogram;
  readonly #hintSeconds: Histogram;
  readonly #publishes: Counter<"success">;
  readonly #publishedBytes: Counter;
  readonly #subscribes: Counter<"success">;
  readonly #disconnections: Counter;
  readonly #connected: Gauge;
  readonly #subscribers: Gauge;
  readonly #events: Gauge;
  readonly #queueUsage: Gauge;
  readonly #onQuery: (query: string, seconds: number) => void;

  /** @param onQuery Called after each statement with its name, of which there are few. */
  constructor(registry: Registry, onQuery: (query: string, seconds: number) => void) {
    const registers = [registry];
    this.#onQuery = onQuery;
    const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
    const counter = (name: string, help: string) => new Counter({ name, help, registers });
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, buckets, registers });
    const successes = (name: string, help: string): Counter<"success"> => {
      const made = new Counter({ name, help, labelNames: ["success"], registers });
      for (const success of ["true", "false"]) made.inc({ success }, 0);
      return made;
    };
    this.#batchRows = histogram("coder_cluster_batch_rows", "Changes written to the database at a time", ROWS);
    this.#writeSeconds = histogram("coder_cluster_write_seconds", "Time to write changes to the database", SECONDS);
    this.#hintSeconds = histogram("coder_cluster_hint_seconds", "Time until a server hears its own hint", SECONDS);
    this.#publishes = successes("coder_pubsub_publishes_total", "Hints sent to the other servers");
    this.#publishedBytes = counter("coder_pubsub_published_bytes_total", "Bytes of the hints sent");
    this.#subscribes = successes("coder_pubsub_subscribes_total", "Attempts to hear hints of the other servers");
    this.#disconnections = counter("coder_pubsub_disconnections_total", "Listening connections that were lost");
    this.#connected = gauge("coder_pubsub_connected", "1 while hints of the other servers are heard");
    this.#subscribers = gauge("coder_pubsub_current_subscribers", "Listeners for hints in this process");
    this.#events = gauge("coder_pubsub_current_events", "Channels of the database that are listened to");
    this.#queueUsage = gauge("coder_pubsub_queue_usage", "Used share of PostgreSQL's queue of notifications, 0 to 1");
  }

  queried(query: string, seconds: number): void {
    this.#onQuery(`cluster_${query}`, seconds);
  }

  wrote(rows: number, seconds: number): void {
    this.#batchRows.observe(rows);
    this.#writeSeconds.observe(seconds);
  }

  hintHeard(seconds: number): void {
    this.#hintSeconds.observe(seconds);
  }

  published(bytes: number, success: boolean): void {
    this.#publishes.inc({ success: String(success) });
    if (success) this.#publishedBytes.inc(bytes);
  }

  subscribed(success: boolean): void {
    this.#subscribes.inc({ success: String(success) });
    this.#listening(success ? 1 : 0);
  }

  unsubscribed(): void {
    this.#disconnections.inc();
    this.#listening(0);
  }

  queueUsage(share: number): void {
    this.#queueUsage.set(share);
  }

  #listening(count: 0 | 1): void {
    for (const gauge of [this.#connected, this.#subscribers, this.#events]) gauge.set(count);
  }
}

/** The figures of a server's link to the cluster that are exported. */
export interface ClusterLinkFigures {
  readonly mode: "listen" | "poll";
  /** Other servers consider this one lost. */
  readonly isIsolated: boolean;
  /** Changes that are not yet written. */
  readonly waitingRows: number;
}

/** Figures that are read when the metrics are requested. */
export function clusterStateMetrics(registry: Registry, watch: ClusterWatch, link: ClusterLinkFigures): void {
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number): void => {
    new Gauge({ name, help, registers, collect: collected(value) });
  };
  const counted = (name: string, help: string, total: () => number): void => {
    new Counter({ name, help, registers, collect: totalled(total) });
  };
  gauge("coder_cluster_isolated", "1 while other servers take this one for lost", () => Number(link.isIsolated));
  gauge("coder_cluster_outbox_rows", "Changes that wait to be written to the database", () => link.waitingRows);
  const recovered = "Times that a heartbeat, and no hint, brought changes of another server";
  counted("coder_cluster_recovered_total", recovered, () => watch.recovered);
  const reconciled = "Rows of other servers in which the database differed from this server's view";
  counted("coder_cluster_reconciled_total", reconciled, () => watch.reconciled);
  new Gauge({
    name: "coder_cluster_mode",
    help: "1 for the way by which changes of other servers are noticed",
    labelNames: ["mode"],
    registers,
    collect() {
      for (const mode of ["listen", "poll"] as const) this.set({ mode }, Number(link.mode === mode));
    },
  });
  new Gauge({
    name: "coder_cluster_replicas",
    help: "Servers on the database, this one among them, by state",
    labelNames: ["state"],
    registers,
    collect() {
      const counts: Record<ReplicaState, number> = { alive: 0, draining: 0, lost: 0 };
      for (const { state } of watch.servers()) counts[state]++;
      for (const [state, count] of Object.entries(counts)) this.set({ state }, count);
    },
  });
  new Gauge({
    name: "coder_cluster_heartbeat_age_seconds",
    help: "Age of the last heartbeat of a server that has not stopped, when the database was last asked",
    labelNames: ["server"],
    registers,
    collect() {
      this.reset();
      for (const { replicaId, ageMs, state } of watch.servers())
        if (state !== "draining") this.set({ server: shortReplicaId(replicaId) }, ageMs / 1_000);
    },
  });
  new Gauge({
    name: "coder_cluster_head_lag",
    help: "Changes of a server that this one has not read yet",
    labelNames: ["server"],
    registers,
    collect() {
      this.reset();
      for (const { replicaId, head, seen, state } of watch.servers())
        if (state !== "lost") this.set({ server: shortReplicaId(replicaId) }, head - seen);
    },
  });
  new Gauge({
    name: "coder_cluster_replica_info",
    help: "Always 1; the labels name the server that other metrics know by its short id",
    labelNames: ["server", "hostname", "version"],
    registers,
    collect() {
      this.reset();
      for (const { replicaId, replica } of watch.servers()) {
        if (replica === undefined) continue;
        const { hostname, version } = replica;
        this.set({ server: shortReplicaId(replicaId), hostname, version }, 1);
      }
    },
  });
}

function collected(value: () => number) {
  return function collect(this: Gauge): void {
    this.set(value());
  };
}

function totalled(total: () => number) {
  return function collect(this: Counter): void {
    this.reset();
    this.inc(total());
  };
}
