/** Keeps a ClusterCore in step with the database: writes pending changes, reads new ones, and follows the other servers. */
import { randomUUID } from "node:crypto";
import { pause } from "../../base/gradual-end.ts";
import type { Logger } from "../../base/log.ts";
import { WakeSignal } from "../../base/wake-signal.ts";
import type { AccessOutboxRow } from "../../db/access-outbox.ts";
import type { CoordinatorRecord } from "../coordinator-records.ts";
import type { ClusterCore } from "./cluster-core.ts";
import type { ClusterDatabase, Replica } from "./cluster-database.ts";
import { Comparison } from "./comparison.ts";
import { Isolation, type IsolationEvents, type IsolationState } from "./isolation.ts";
import type { EventChange } from "./outbox.ts";
import { Pace } from "./pace.ts";
import type { EventRow } from "./rows.ts";

const HEARTBEAT_MS = 2_000;
const JITTER = 0.1;
/** If the database delivers no hints, its heads are polled: this often, and less often while nothing changes. */
const POLL_MS = 50;
const SLOW_POLL_MS = 250;
const QUIET_MS = 60_000;
const SWEEP_MS = 60_000;
const REPLICAS_MS = 5_000;
/** The view of the others is compared with the database this often, and this soon after it may have become wrong. */
const COMPARE_MS = 600_000;
const COMPARE_SOON_MS = 60_000;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 1_000;
const LISTEN_RETRY_MS = 1_000;
const MAX_NODES_PER_READ = 500;

export interface ClusterLinkOptions {
  readonly database: ClusterDatabase;
  readonly core: ClusterCore;
  /** The same id as the core's. */
  readonly me: string;
  /** What this server states about itself, except for what the link measures. */
  readonly replica: Omit<Replica, "error" | "databaseLatencyUs">;
  readonly log: Pick<Logger, "debug" | "info" | "warn">;
  /** The problem of this server that its siblings should know; "" if there is none. */
  readonly problem: () => string;
  readonly onDatabaseTime?: (databaseMs: number, roundTripMs: number) => void;
  /** How the server reacts when the database does not answer. */
  readonly isolation: Omit<IsolationEvents, "ask">;
  /** Whether the sibling at this address is ready for clients. Never rejects. */
  readonly isReady: (relayAddress: string) => Promise<boolean>;
  /** Called for an event at another server; the same event may come twice. */
  readonly onEvent?: (event: EventRow) => void;
  /** Called for an event that the server which caused it did not publish in time. */
  readonly onAdopted?: (event: AccessOutboxRow) => void;
  /** Called when a comparison has corrected this many rows of another server. */
  readonly onReconciled?: (differences: number) => void;
  /** Called periodically with the servers that exist, this one included. */
  readonly onReplicas?: (replicas: readonly Replica[]) => void;
}

export class ClusterLink implements AsyncDisposable {
  readonly #options: ClusterLinkOptions;
  readonly #database: ClusterDatabase;
  readonly #core: ClusterCore;
  readonly #writerWake = new WakeSignal();
  readonly #readerWake = new WakeSignal();
  #me: string;
  /** Undefined until the link is opened. */
  #isolation: Isolation | undefined;
  #isolationTimer: NodeJS.Timeout | undefined;
  /** How changes of other servers are noticed. */
  #mode: "listen" | "poll" = "listen";
  #closing = false;
  #running: Promise<unknown> = Promise.resolve();
  #nextHeartbeatAt = 0;
  readonly #pace = new Pace();
  #lastNewsAt = performance.now();
  #sweptAt = performance.now();
  #compareAt = performance.now() + COMPARE_MS * Math.random();
  #comparison: Comparison | undefined;
  #writtenHead = 0;
  #listening = false;
  #replicas: readonly Replica[] = [];
  #replicasAt = Number.NEGATIVE_INFINITY;
  #latencyMs = 0;
  #draining = false;
  /** Whether the stop of this server is recorded in the database. */
  #stated = false;

  constructor(options: ClusterLinkOptions) {
    this.#options = options;
    this.#database = options.database;
    this.#core = options.core;
    this.#me = options.me;
  }

  /** The reason why this server should get no new clients; undefined if it may. */
  get unready(): string | undefined {
    if (this.isIsolated) return "isolated: the database does not answer";
    return this.state === "settling" ? "the database is back: reading what was missed" : undefined;
  }

  get hasSiblings(): boolean {
    return this.#replicas.length > 1;
  }

  /** The servers that exist, this one first. */
  get replicas(): readonly Replica[] {
    return this.#replicas;
  }

  get mode(): "listen" | "poll" {
    return this.#mode;
  }
  get state(): "connecting" | IsolationState {
    return this.#isolation?.state ?? "connecting";
  }

  /** Whether the other servers consider this one lost. */
  get isIsolated(): boolean {
    return this.state === "isolated" || this.state === "shedding";
  }
  /** The number of changes that are not yet written. */
  get waitingRows(): number {
    return this.#core.outbox.waiting;
  }

  /**
   * Registers this server, listens, and then reads everything. In this order no change is missed: one written in between is
   * either announced or read. Rejects if the database does not answer; no connection is left open then.
   */
  async open(): Promise<void> {
    try {
      await this.#database.join(this.#me, this.#options.replica.id);
      await this.#listen();
      await this.#beat();
      await this.#stateReplica();
      await this.#readAll();
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#isolation = this.#newIsolation();
    this.#armIsolation();
    this.#running = Promise.all([this.#write(), this.#read()]);
  }

  /** See CoordinatorEvents.onRecord. */
  record(record: CoordinatorRecord): void {
    this.#core.record(record);
    this.#writerWake.set();
  }

  /** Passes on an event that other servers may have to act on. */
  tell(event: EventChange): void {
    this.#core.outbox.addEvent(event);
    this.#writerWake.set();
  }

  /** Announces that this server is stopping: once the others read it, they give its peers time to return to one of them. */
  drain(): void {
    this.#draining = true;
    this.#writerWake.set();
  }

  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#isolationTimer);
    this.#writerWake.set();
    this.#readerWake.set();
    await this.#running;
    await this.#database[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // --- the writer ---

  async #write(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (!this.#closing) {
      await this.#writerWake.wait(Math.max(0, this.#nextHeartbeatAt - performance.now()));
      await this.#gather();
      try {
        await this.#stateDraining();
        await this.#flush();
        if (performance.now() >= this.#nextHeartbeatAt) await this.#beat();
        if (performance.now() - this.#replicasAt >= REPLICAS_MS) await this.#stateReplica();
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        this.#failed(error);
        await pause(retryMs);
        retryMs = Math.min(MAX_RETRY_MS, 2 * retryMs);
        this.#writerWake.set();
      }
    }
    try {
      await this.#stateDraining();
      await this.#flush();
      await this.#database.leave(this.#options.replica.id);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Waits for further changes to write together with those that wait. */
  async #gather(): Promise<void> {
    const { outbox } = this.#core;
    if (outbox.waiting === 0 || this.#closing) return;
    const ms = this.#pace.gather(performance.now());
    if (ms > 0 && !outbox.fillsBatch) await pause(ms);
  }

  async #stateDraining(): Promise<void> {
    if (!this.#draining || this.#stated) return;
    await this.#database.drain(this.#me);
    this.#stated = true;
  }

  async #stateReplica(): Promise<void> {
    const { replica, problem, onReplicas } = this.#options;
    const databaseLatencyUs = Math.round(1_000 * this.#latencyMs);
    this.#replicasAt = performance.now();
    const all = await this.#database.replicas({ ...replica, error: problem(), databaseLatencyUs });
    const isMine = ({ id }: Replica): boolean => id === replica.id;
    this.#replicas = [...all.filter(isMine), ...all.filter((other) => !isMine(other))];
    onReplicas?.(this.#replicas);
  }

  /**
   * Writes what waits: one batch, then only full ones, so that the changes which came meanwhile are collected too. It stops when a
   * heartbeat is due, because others consider a server without heartbeats lost.
   */
  async #flush(): Promise<void> {
    const { outbox } = this.#core;
    for (let batch = outbox.take(); batch !== undefined; batch = outbox.take()) {
      let isKnown: boolean;
      try {
        isKnown = await this.#database.write(this.#me, batch, this.#writtenHead);
      } catch (error) {
        outbox.failed();
        throw error;
      }
      if (!isKnown) {
        outbox.failed();
        await this.#restart("the database lost what it wrote");
        continue;
      }
      outbox.committed();
      this.#writtenHead = batch.head;
      this.#pace.written(performance.now());
      await this.#database.hint(this.#me, batch.head);
      const goesOn = outbox.fillsBatch && performance.now() < this.#nextHeartbeatAt;
      if (this.#closing || goesOn) continue;
      if (outbox.waiting > 0) this.#writerWake.set();
      return;
    }
  }

  async #beat(): Promise<void> {
    this.#nextHeartbeatAt = performance.now() + HEARTBEAT_MS * (1 + JITTER * (2 * Math.random() - 1));
    const sentAt = performance.now();
    const { servers, databaseMs } = await this.#database.heartbeat(this.#me);
    this.#latencyMs = (performance.now() - sentAt) / 2; // two statements per heartbeat
    if (databaseMs !== undefined) this.#options.onDatabaseTime?.(databaseMs, performance.now() - sentAt);
    const mine = servers.find(({ id }) => id === this.#me);
    if (mine === undefined || mine.head < this.#writtenHead) {
      await this.#restart("the database lost what it wrote");
      return;
    }
    this.#isolation?.heartbeat(performance.now());
    this.#armIsolation();
    this.#core.heartbeats(servers);
    this.#core.sweep();
    this.#readerWake.set();
    for (const event of await this.#database.adopt()) this.#options.onAdopted?.(event);
    if (performance.now() - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = performance.now();
    await this.#database.sweep();
  }

  /** After the database was restored, or its standby lacks the last commits, this server starts again under a new id. */
  async #restart(why: string): Promise<void> {
    this.#me = randomUUID();
    this.#writtenHead = 0;
    this.#stated = false;
    this.#options.log.warn({ server: this.#me, why }, "this server joins the cluster again, under a new id");
    // Restarted before the statement, so that everything is still to be written under the new id if the statement's answer is
    // lost.
    this.#core.restart(this.#me);
    await this.#database.join(this.#me, this.#options.replica.id);
    this.#writerWake.set();
  }

  #failed(error: unknown): void {
    if (this.#isolation?.state === "healthy")
      this.#options.log.warn({ reason: String(error) }, "the database of the cluster does not answer");
    this.#isolation?.failed();
  }

  #newIsolation(): Isolation {
    const { log, isolation } = this.#options;
    const events: IsolationEvents = {
      ...isolation,
      ask: () => void this.#askSiblings(),
      isolated: () => {
        log.warn({}, "isolated: other servers take this one for lost");
        isolation.isolated();
      },
      back: (isolatedMs) => {
        this.#compareSoon();
        log.info({ ms: Math.round(isolatedMs) }, "not isolated any more");
        isolation.back(isolatedMs);
      },
    };
    return new Isolation(events, performance.now());
  }

  #armIsolation(): void {
    clearTimeout(this.#isolationTimer);
    const nextMs = this.#isolation?.nextTimeout() ?? Number.POSITIVE_INFINITY;
    if (this.#closing || nextMs === Number.POSITIVE_INFINITY) return;
    this.#isolationTimer = setTimeout(
      () => {
        this.#isolation?.handleTimeout(performance.now());
        this.#armIsolation();
      },
      Math.max(0, nextMs - performance.now()),
    );
  }

  async #askSiblings(): Promise<void> {
    const { log, replica, isReady } = this.#options;
    const siblings = this.#replicas.filter(({ id, relayAddress }) => id !== replica.id && relayAddress !== "");
    const answers = await Promise.all(siblings.map(({ relayAddress }) => isReady(relayAddress)));
    const ready = answers.filter((answer) => answer).length;
    log.debug({ siblings: siblings.length, ready }, "siblings were asked whether they are ready");
    this.#isolation?.answered(ready > 0, performance.now());
    this.#armIsolation();
  }

  // --- the reader ---

  async #read(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (!this.#closing) {
      const isQuiet = performance.now() - this.#lastNewsAt > QUIET_MS;
      const pollMs = isQuiet ? SLOW_POLL_MS : POLL_MS;
      await this.#readerWake.wait(this.#mode === "poll" ? pollMs : HEARTBEAT_MS);
      try {
        if (this.#mode === "listen" && !this.#listening) await this.#listen();
        if (this.#mode === "poll")
          for (const [server, head] of await this.#database.heads()) this.#core.view.hint(server, head);
        await this.#readAll();
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        this.#failed(error);
        await pause(retryMs);
        retryMs = Math.min(MAX_RETRY_MS, 2 * retryMs);
        this.#readerWake.set();
      }
    }
  }

  async #readAll(): Promise<void> {
    const { view } = this.#core;
    const beganAt = performance.now();
    for (let unread = view.unread(); unread.length > 0 && !this.#closing; unread = view.unread()) {
      this.#lastNewsAt = performance.now();
      for (const { server, after, upTo } of unread) {
        const { rows, events, seen, bad } = await this.#database.read(server, after, upTo);
        if (bad > 0) {
          this.#options.log.warn({ server, rows: bad }, "rows of another server are not valid");
          this.#compareSoon();
        }
        this.#core.read(server, rows, seen);
        for (const event of events) this.#options.onEvent?.(event);
      }
      await this.#readNodes();
    }
    await this.#readNodes();
    this.#isolation?.caughtUp(beganAt);
    this.#armIsolation();
    await this.#compare();
  }

  /** At a random time, because what affects one server often affects all of them at once. */
  #compareSoon(): void {
    this.#compareAt = Math.min(this.#compareAt, performance.now() + COMPARE_SOON_MS * Math.random());
  }

  /** Reads one page of a comparison that is due or in progress; the next page waits until other reads are done. */
  async #compare(): Promise<void> {
    if (this.#comparison === undefined) {
      if (performance.now() < this.#compareAt) return;
      this.#compareAt = performance.now() + COMPARE_MS * (0.5 + Math.random());
      this.#comparison = new Comparison(this.#core.view.servers());
    }
    const { next } = this.#comparison;
    if (next === undefined) {
      this.#comparison = undefined;
      return;
    }
    try {
      const whole = this.#comparison.page(await this.#database.readWhole(next.server, next.after));
      if (whole !== undefined) this.#compared(next.server, this.#core.reconcile(next.server, whole));
    } catch (error) {
      this.#comparison = undefined;
      this.#compareSoon();
      throw error;
    }
    this.#readerWake.set();
  }

  /** A difference means that a change was lost, for example by a standby that lacked it, or that there is a bug. */
  #compared(server: string, differences: number): void {
    if (differences === 0) return;
    this.#options.log.warn({ server, differences }, "corrected the view of another server's peers");
    this.#options.onReconciled?.(differences);
  }

  async #readNodes(): Promise<void> {
    const { view } = this.#core;
    const byServer = Map.groupBy(view.wantedNodes(), ({ server }) => server);
    for (const [server, wanted] of byServer) {
      for (let at = 0; at < wanted.length; at += MAX_NODES_PER_READ) {
        const ids = wanted.slice(at, at + MAX_NODES_PER_READ).map(({ id }) => id);
        view.nodes(server, await this.#database.nodes(server, ids));
      }
    }
  }

  async #listen(): Promise<void> {
    if (this.#mode === "poll") return;
    this.#listening = true;
    const delivers = await this.#database
      .listen({
        onHint: (server, head) => {
          this.#core.view.hint(server, head);
          this.#readerWake.set();
        },
        onLost: (reason) => {
          this.#listening = false;
          if (this.#closing) return;
          this.#options.log.info({ reason: String(reason) }, "hints of the other servers are missed for a moment");
          setTimeout(() => this.#readerWake.set(), LISTEN_RETRY_MS).unref();
        },
      })
      .catch((error: unknown) => {
        this.#listening = false;
        throw error;
      });
    if (delivers) return;
    this.#mode = "poll";
    this.#options.log.warn({}, "the database delivers no notifications: changes of other servers are asked for");
  }
}
