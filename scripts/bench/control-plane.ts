/**
 * One control plane with thousands of agents and clients: how it copes when all connect at once, what they cost while
 * connected, how fast a change reaches the others, and how they reconnect after a crash.
 */
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { buildCli } from "../build.ts";
import { type AgentLogin, ControlServer } from "./control-server.ts";
import { cpuSeconds, residentBytes, usageMissing } from "./process-usage.ts";
import { Worker } from "./processes.ts";
import { type Bench, Rounds } from "./report.ts";

const SMALL = 500;
const LARGE = 2_000;
const WORKERS = 2;
const SETTLE_MS = 4_000;
/** Covers two heartbeats of every agent and one report. */
const STEADY_MS = 30_000;
const STORM_WITHIN_MS = 50_000;
const FAN_OUT = { count: 150, everyMs: 20 };
const CROWD = { clients: 500, count: 10, withinMs: STORM_WITHIN_MS, settleMs: 2_000 };
const lower = { better: "lower" } as const;

interface Settled {
  readonly atMs: number;
  readonly errors: Readonly<Record<string, number>>;
}

export const controlPlaneBench: Bench = async ({ profileFolder, progress }) => {
  if (usageMissing.length > 0) {
    return { figures: [], ratios: [], missing: [`needs ${usageMissing.join(", ")}`], notes: [] };
  }
  await buildCli();
  const measured = new Rounds();
  const errors: string[] = [];
  await using server = new ControlServer(profileFolder);
  await server.start();
  progress(`control plane: registering ${LARGE} workspaces`);
  const agents = await server.populate(LARGE);
  for (const count of [SMALL, LARGE]) {
    await server.kill();
    await server.start(); // so that memory is that of these peers alone
    const name = `${count} + ${count}`;
    const run = new Run(server, measured, name, errors, progress);
    await run.all(agents.slice(0, count), count === LARGE);
  }
  const large = `${LARGE} + ${LARGE}: `;
  const names = measured.figures().map((figure) => figure.name);
  const compared = names.filter((name) => name.startsWith(large));
  return {
    figures: measured.figures(),
    ratios: compared.flatMap((name) => measured.against(name, name.replace(large, `${SMALL} + ${SMALL}: `))),
    missing: ["a stock Coder server: none is available here"],
    notes: [
      "measured once; ratios are growth: the same figure with four times as many peers. What is per connection has to stay flat",
      `real "coder server", loopback; peers in ${WORKERS} processes on the same ${availableParallelism()} cores, without tunnels; each client has a tunnel to one agent`,
      "connect storm: all dial at once, until each has the node of its peer; restart: SIGKILL and start on the same store, from the start of the new process",
      ...errors,
    ],
  };
};

class Run {
  readonly #server: ControlServer;
  readonly #measured: Rounds;
  readonly #name: string;
  readonly #errors: string[];
  readonly #progress: (line: string) => void;

  constructor(
    server: ControlServer,
    measured: Rounds,
    name: string,
    errors: string[],
    progress: (line: string) => void,
  ) {
    this.#server = server;
    this.#measured = measured;
    this.#name = name;
    this.#errors = errors;
    this.#progress = progress;
  }

  async all(agents: readonly AgentLogin[], withCrowd: boolean): Promise<void> {
    await using owned = new AsyncDisposableStack();
    const workers = Array.from({ length: WORKERS }, () => owned.use(new Worker("control-peers.ts")));
    const { url } = this.#server;
    await Promise.all(workers.map((worker) => worker.ask({ do: "site", url })));
    const connections = 2 * agents.length;
    await sleep(1_000);
    const resident = residentBytes(this.#server.pid);
    await this.#storm(workers, agents);
    await sleep(SETTLE_MS);
    this.#add("resident per connection", (residentBytes(this.#server.pid) - resident) / connections / 1024, "KiB");
    await this.#steady(connections);
    await this.#fanOut(workers, "fanOut", FAN_OUT, "change of an agent's node at its client");
    if (withCrowd) {
      const what = `change of an agent's node at its ${CROWD.clients} clients`;
      await this.#fanOut(workers.slice(0, 1), "crowdFanOut", CROWD, what);
      await sleep(SETTLE_MS);
    }
    await this.#restart(workers, connections);
  }

  async #storm(workers: readonly Worker[], agents: readonly AgentLogin[]): Promise<void> {
    this.#progress(`control plane, ${this.#name}: connect storm`);
    await this.#server.eventLoop("reset");
    const before = cpuSeconds(this.#server.pid);
    const peersBefore = cpuOf(workers);
    const started = performance.timeOrigin + performance.now();
    const each = Math.ceil(agents.length / workers.length);
    const settled = await Promise.all(
      workers.map((worker, i) => {
        const share = agents.slice(i * each, (i + 1) * each);
        return worker.ask<Settled>({ do: "connect", agents: share, withinMs: STORM_WITHIN_MS });
      }),
    );
    const seconds = (Math.max(...settled.map(({ atMs }) => atMs)) - started) / 1000;
    const cpu = cpuSeconds(this.#server.pid) - before;
    const connections = 2 * agents.length;
    this.#add("connect storm", seconds, "s");
    this.#measured.add(`${this.#name}: connect storm, rate`, connections / seconds, "connections/s", {
      better: "higher",
    });
    this.#add("connect storm, server CPU", cpu, "s");
    this.#add("connect storm, CPU of the peers' processes", cpuOf(workers) - peersBefore, "s");
    this.#add("connect storm, server CPU per connection", (cpu * 1000) / connections, "ms");
    this.#add("connect storm, longest stall of the event loop", (await this.#server.eventLoop("read")).lagMaxMs, "ms");
    this.#note("connect storm", settled);
  }

  async #steady(connections: number): Promise<void> {
    this.#progress(`control plane, ${this.#name}: steady for ${STEADY_MS / 1000} s`);
    await this.#server.eventLoop("reset");
    const before = cpuSeconds(this.#server.pid);
    await sleep(STEADY_MS);
    const perMinute = ((cpuSeconds(this.#server.pid) - before) * 60_000) / STEADY_MS;
    this.#add("steady, server CPU per minute", perMinute, "s");
    this.#add("steady, server CPU per minute and connection", (perMinute * 1000) / connections, "ms");
    const { lagP99Ms, lagMaxMs } = await this.#server.eventLoop("read");
    this.#add("steady, event loop lag p99", lagP99Ms, "ms");
    this.#add("steady, event loop lag, longest", lagMaxMs, "ms");
  }

  async #fanOut(workers: readonly Worker[], ask: string, how: object, what: string): Promise<void> {
    this.#progress(`control plane, ${this.#name}: ${what}`);
    const answers = await Promise.all(workers.map((worker) => worker.ask<{ took: number[] }>({ do: ask, ...how })));
    const took = answers.flatMap((answer) => answer.took).sort((a, b) => a - b);
    this.#add(`${what}, p50`, took[took.length >> 1]!, "ms");
    this.#add(`${what}, p99`, took[Math.floor(took.length * 0.99)]!, "ms");
  }

  async #restart(workers: readonly Worker[], connections: number): Promise<void> {
    this.#progress(`control plane, ${this.#name}: restart`);
    await this.#server.kill();
    const started = performance.timeOrigin + performance.now();
    await this.#server.start();
    const listening = (performance.timeOrigin + performance.now() - started) / 1000;
    const settled = await Promise.all(
      workers.map((worker) => worker.ask<Settled>({ do: "settled", withinMs: STORM_WITHIN_MS })),
    );
    const seconds = (Math.max(...settled.map(({ atMs }) => atMs)) - started) / 1000;
    this.#add("restart, until all are back", seconds, "s");
    const cpu = cpuSeconds(this.#server.pid);
    this.#add("restart, server CPU per connection", (cpu * 1000) / connections, "ms");
    this.#note(`restart (answering after ${listening.toFixed(1)} s)`, settled);
  }

  #add(what: string, value: number, unit: string): void {
    this.#measured.add(`${this.#name}: ${what}`, value, unit, lower);
  }

  /** The errors that the peers reported. */
  #note(when: string, settled: readonly Settled[]): void {
    const counts = new Map<string, number>();
    for (const { errors } of settled)
      for (const [text, count] of Object.entries(errors)) counts.set(text, (counts.get(text) ?? 0) + count);
    const texts = Array.from(counts, ([text, count]) => `${count} × ${text}`);
    this.#errors.push(`${this.#name}, ${when}: ${texts.length === 0 ? "no errors" : texts.join("; ")}`);
  }
}

function cpuOf(workers: readonly Worker[]): number {
  return workers.reduce((sum, { pid }) => sum + cpuSeconds(pid!), 0);
}
