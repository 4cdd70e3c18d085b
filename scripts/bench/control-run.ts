/** Load on a control plane from worker processes: all peers come at once, stay, and change. */
import { setTimeout as sleep } from "node:timers/promises";
import { type ControlSite, siteCpu, siteEventLoop, siteMemory } from "./control-site.ts";
import { cpuSeconds } from "./process-usage.ts";
import { Worker } from "./processes.ts";
import type { AgentLogin } from "./registration.ts";
import type { Rounds } from "./report.ts";

export const WORKERS = 2;
/** Time until the buffers of the connect storm are freed. */
export const SETTLE_MS = 4_000;
export const STORM_WITHIN_MS = 110_000;
const ASK_WITHIN_MS = 120_000;
const FAN_OUT = { count: 150, everyMs: 20 };
const CROWD = { clients: 500, count: 10, withinMs: STORM_WITHIN_MS, settleMs: 2_000 };
const lower = { better: "lower" } as const;

export interface Settled {
  readonly atMs: number;
  readonly errors: Readonly<Record<string, number>>;
}

export class ControlRun implements AsyncDisposable {
  readonly workers: readonly Worker[];
  readonly #site: ControlSite;
  readonly #measured: Rounds;
  readonly #name: string;
  readonly #progress: (line: string) => void;
  /** Remarks beside the figures. */
  readonly notes: string[] = [];

  /** @param name Stands before each figure. */
  static async open(
    site: ControlSite,
    name: string,
    measured: Rounds,
    progress: (line: string) => void,
  ): Promise<ControlRun> {
    const run = new ControlRun(site, name, measured, progress);
    await run.ask({ do: "site", url: site.url });
    return run;
  }

  private constructor(site: ControlSite, name: string, measured: Rounds, progress: (line: string) => void) {
    this.#site = site;
    this.#name = name;
    this.#measured = measured;
    this.#progress = progress;
    this.workers = Array.from({ length: WORKERS }, () => new Worker("control-peers.ts"));
  }

  /** Sends the same request to all workers. */
  ask<Answer>(request: Readonly<Record<string, unknown>>): Promise<Answer[]> {
    return Promise.all(this.workers.map((worker) => worker.ask<Answer>(request, ASK_WITHIN_MS)));
  }

  /** All dial at once, until each has the node of its peer, or every pair is complete; then what their connections hold. */
  async storm(agents: readonly AgentLogin[], until: "settled" | "complete" = "settled"): Promise<void> {
    this.progress("connect storm");
    await sleep(1_000);
    const resident = siteMemory(this.#site);
    await siteEventLoop(this.#site, "reset");
    const before = siteCpu(this.#site);
    const peersBefore = cpuOf(this.workers);
    const started = performance.timeOrigin + performance.now();
    const each = Math.ceil(agents.length / this.workers.length);
    const settled = await Promise.all(
      this.workers.map((worker, i) => {
        const share = agents.slice(i * each, (i + 1) * each);
        return worker.ask<Settled>({ do: "connect", agents: share, until, withinMs: STORM_WITHIN_MS }, ASK_WITHIN_MS);
      }),
    );
    const seconds = (Math.max(...settled.map(({ atMs }) => atMs)) - started) / 1000;
    const after = siteCpu(this.#site);
    const cpu = after.servers - before.servers;
    const connections = 2 * agents.length;
    this.add("connect storm", seconds, "s");
    this.#measured.add(`${this.#name}: connect storm, rate`, connections / seconds, "connections/s", {
      better: "higher",
    });
    this.add("connect storm, server CPU", cpu, "s");
    this.#beside("connect storm", before.beside, after.beside, 1, "s");
    this.add("connect storm, CPU of the peers' processes", cpuOf(this.workers) - peersBefore, "s");
    this.add("connect storm, server CPU per connection", (cpu * 1000) / connections, "ms");
    const { lagMaxMs } = await siteEventLoop(this.#site, "read");
    this.add("connect storm, longest stall of the event loop", lagMaxMs, "ms");
    this.note("connect storm", settled);
    await sleep(SETTLE_MS);
    this.add("resident per connection", (siteMemory(this.#site) - resident) / connections / 1024, "KiB");
  }

  async steady(connections: number, forMs: number): Promise<void> {
    this.progress(`steady for ${forMs / 1000} s`);
    await siteEventLoop(this.#site, "reset");
    const before = siteCpu(this.#site);
    await sleep(forMs);
    const after = siteCpu(this.#site);
    const perMinute = ((after.servers - before.servers) * 60_000) / forMs;
    this.add("steady, server CPU per minute", perMinute, "s");
    this.#beside("steady", before.beside, after.beside, 60_000 / forMs, "s a minute");
    this.add("steady, server CPU per minute and connection", (perMinute * 1000) / connections, "ms");
    const { lagP99Ms, lagMaxMs } = await siteEventLoop(this.#site, "read");
    this.add("steady, event loop lag p99", lagP99Ms, "ms");
    this.add("steady, event loop lag, longest", lagMaxMs, "ms");
  }

  /** @param only Agents that change; all by default. */
  async fanOut(what: string, only?: readonly string[], targets: FanOutTargets = {}): Promise<void> {
    const answers = await this.#measuredFanOut(what, this.workers, { do: "fanOut", ...FAN_OUT, only });
    this.#spread(what, answers, targets);
  }

  /** @param tokens Logins that may connect to every workspace: no single one may have all the clients. */
  async crowdFanOut(tokens: readonly string[], targets: FanOutTargets = {}): Promise<void> {
    const what = `change of an agent's node at its ${CROWD.clients} clients`;
    const request = { do: "crowdFanOut", ...CROWD, tokens };
    this.#spread(what, await this.#measuredFanOut(what, this.workers.slice(0, 1), request), targets);
    await sleep(SETTLE_MS);
  }

  progress(what: string): void {
    this.#progress(`${this.#name}: ${what}`);
  }

  add(what: string, value: number, unit: string, target?: number): void {
    const goal = target === undefined ? lower : { ...lower, target };
    this.#measured.add(`${this.#name}: ${what}`, value, unit, goal);
  }

  /** The errors that the peers reported. */
  note(when: string, settled: readonly Pick<Settled, "errors">[]): void {
    const counts = new Map<string, number>();
    for (const { errors } of settled)
      for (const [text, count] of Object.entries(errors)) counts.set(text, (counts.get(text) ?? 0) + count);
    const texts = Array.from(counts, ([text, count]) => `${count} × ${text}`);
    this.notes.push(`${this.#name}, ${when}: ${texts.length === 0 ? "no errors" : texts.join("; ")}`);
  }

  async #measuredFanOut(what: string, workers: readonly Worker[], request: object): Promise<number[]> {
    this.progress(what);
    const answers = await Promise.all(
      workers.map((worker) => worker.ask<{ took: number[] }>({ ...request }, ASK_WITHIN_MS)),
    );
    return answers.flatMap(({ took }) => took);
  }

  #spread(what: string, unsorted: readonly number[], targets: FanOutTargets): void {
    const took = unsorted.toSorted((a, b) => a - b);
    this.add(`${what}, p50`, took[took.length >> 1]!, "ms", targets.p50);
    this.add(`${what}, p99`, took[Math.floor(took.length * 0.99)]!, "ms", targets.p99);
  }

  #beside(when: string, before: readonly number[], after: readonly number[], factor: number, unit: string): void {
    for (const [i, { name }] of this.#site.beside.entries())
      this.add(`${when}, CPU of ${name}`, (after[i]! - before[i]!) * factor, unit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker[Symbol.asyncDispose]()));
  }
}

interface FanOutTargets {
  readonly p50?: number;
  readonly p99?: number;
}

function cpuOf(workers: readonly Worker[]): number {
  return workers.reduce((sum, { pid }) => sum + cpuSeconds(pid!), 0);
}
