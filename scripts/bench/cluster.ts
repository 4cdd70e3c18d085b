/**
 * Several servers on one PostgreSQL behind nginx with thousands of agents and clients, beside one server on SQLite in the same
 * run: what they cost, how fast a change reaches a client of another server, and what a server that goes away does to the peers.
 */
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { buildCli } from "../build.ts";
import { Sessions } from "./cluster-sessions.ts";
import { ClusterSite, clusterMissing } from "./cluster-site.ts";
import { type Announced, agentsAcross, coordinatorPages, requireViews } from "./cluster-views.ts";
import { ControlRun, type Settled, STORM_WITHIN_MS, WORKERS } from "./control-run.ts";
import { ControlServer } from "./control-server.ts";
import { type ControlSite, siteCpu } from "./control-site.ts";
import { usageMissing } from "./process-usage.ts";
import { Worker } from "./processes.ts";
import { type Registered, register } from "./registration.ts";
import { type Bench, type Figure, Rounds } from "./report.ts";
import { RestProbe } from "./rest-probe.ts";

const SERVERS = 3;
/** Covers a heartbeat of every agent. */
const STEADY_MS = 20_000;
const SSH_RUNS_PER_ROUND = 10;
const RELAY = { bytes: 1280, window: 32 };
const ONE = "one server on SQLite";
const MANY = "three servers on PostgreSQL";
/** The shares and times that the plan allows. */
const TARGETS = {
  stormSeconds: 60,
  stormCpu: 1.5,
  stormDatabase: 0.2,
  steadyCpu: 1.3,
  steadyDatabaseSeconds: 3,
  fanOut: { p50: 30, p99: 100 },
  crowd: { p99: 500 },
  backMs: 15_000,
  restFailures: 0.001,
  ssh: 1.15,
  relayShare: 0.4,
  relayAddedMs: 2,
};
const lower = { better: "lower" } as const;
const higher = { better: "higher" } as const;

interface Complete extends Settled {
  readonly gaps: readonly number[];
  readonly lost: number;
}

export const clusterBench: Bench = async ({ peers, rounds, seconds, profileFolder, progress }) => {
  const needs = [...usageMissing, ...clusterMissing()];
  if (needs.length > 0) return { figures: [], ratios: [], missing: [`needs ${needs.join(", ")}`], notes: [] };
  await buildCli();
  const measured = new Rounds();
  const notes: string[] = [];
  await using one = await ControlServer.open();
  await one.server.start();
  progress(`${ONE}: registering ${peers + 1} workspaces`);
  // One more, for a real agent.
  const atOne = await register(one.url, peers + 1);
  notes.push(...(await underLoad(one, atOne, ONE, measured, progress)));
  await using many = await ClusterSite.open(SERVERS, profileFolder);
  progress(`${MANY}: registering ${peers + 1} workspaces`);
  const atMany = await register(many.url, peers + 1);
  notes.push(...(await underLoad(many, atMany, MANY, measured, progress)));
  await relays(many, atMany, measured, { rounds, seconds }, progress);
  notes.push(await sessions({ one, atOne, many, atMany }, measured, SSH_RUNS_PER_ROUND * rounds, progress));
  compare(measured, peers);
  const figures = measured.figures();
  return {
    scale: `${peers} agents and ${peers} clients`,
    figures,
    ratios: figures
      .flatMap(({ name }) => measured.against(name, name.replace(`${MANY}: `, `${ONE}: `)))
      .filter(({ of, to }) => of !== to),
    missing: ["a stock Coder server: none is available here"],
    notes: [
      `${peers} agents and as many clients, each with a tunnel to one agent, without tunnels below; in ${WORKERS} processes on the same ${availableParallelism()} cores as servers, PostgreSQL (with fsync) and nginx`,
      "measured once, but for ssh and the relays; complete: both ends of a pair are connected and have the latest node of the other, and the client knows that the agent is ready",
      `at the end each peer is connected to exactly one server, which has the node that it announced last, and no tunnel is missing or left: compared by /debug/coordinator of all servers, else the bench fails`,
      ...notes,
    ],
  };
};

/** Everything that needs the simulated peers. */
async function underLoad(
  site: ControlServer | ClusterSite,
  { agents, ownerTokens }: Registered,
  name: string,
  measured: Rounds,
  progress: (line: string) => void,
): Promise<readonly string[]> {
  const simulated = agents.slice(0, -1);
  const connections = 2 * simulated.length;
  await restartServers(site); // so that memory is that of these peers alone
  await using run = await ControlRun.open(site, name, measured, progress);
  const token = ownerTokens[0]!;
  await run.storm(simulated, "complete");
  await run.steady(connections, STEADY_MS);
  const isCluster = site instanceof ClusterSite;
  const across = isCluster ? agentsAcross(await coordinatorPages(site, token)) : undefined;
  await run.fanOut("change of an agent's node at its client", across, isCluster ? TARGETS.fanOut : {});
  await run.crowdFanOut(ownerTokens.slice(1), isCluster ? TARGETS.crowd : {});
  if (isCluster) await takeServersAway(site, run, token);
  await powerCut(site, run);
  const announced = await run.ask<{ readonly pairs: readonly Announced[] }>({ do: "announced" });
  requireViews(
    await coordinatorPages(site, token),
    announced.flatMap(({ pairs }) => pairs),
  );
  return run.notes;
}

async function restartServers({ servers }: ControlSite): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()));
  for (const server of servers) await server.start();
}

async function takeServersAway(site: ClusterSite, run: ControlRun, token: string): Promise<void> {
  await awayAndBack(site, run, token, "SIGTERM of one", 0, () => site.servers[0]!.stop());
  await awayAndBack(site, run, token, "SIGKILL of one", 1, () => site.servers[1]!.kill());
}

async function awayAndBack(
  site: ClusterSite,
  run: ControlRun,
  token: string,
  what: string,
  index: number,
  end: () => Promise<void>,
): Promise<void> {
  run.progress(what);
  await run.ask<Complete>({ do: "complete", withinMs: STORM_WITHIN_MS });
  const rest = new RestProbe(site.url, token);
  const started = performance.timeOrigin + performance.now();
  await end();
  const ended = (performance.timeOrigin + performance.now() - started) / 1000;
  // A pair that has not noticed yet looks complete.
  await sleep(1_000);
  const complete = await run.ask<Complete>({ do: "complete", withinMs: STORM_WITHIN_MS });
  const failed = await rest.stop();
  const gaps = complete.flatMap((answer) => answer.gaps).sort((a, b) => a - b);
  const lost = complete.reduce((sum, answer) => sum + answer.lost, 0);
  run.add(
    `${what}, until all pairs are complete`,
    (Math.max(...complete.map(({ atMs }) => atMs)) - started) / 1000,
    "s",
  );
  run.add(`${what}, longest time of a pair, p50`, gaps[gaps.length >> 1] ?? 0, "ms");
  run.add(`${what}, longest time of a pair`, gaps.at(-1) ?? 0, "ms", TARGETS.backMs);
  run.add(`${what}, losses that peers were informed of`, lost, "");
  run.add(`${what}, requests that failed`, failed, `of ${rest.requests}`, TARGETS.restFailures);
  run.note(`${what} (gone after ${ended.toFixed(1)} s, ${gaps.length} gaps)`, complete);
  if (rest.failures.size > 0) run.notes.push(`${what}: ${JSON.stringify(Object.fromEntries(rest.failures))}`);
  await site.servers[index]!.start();
}

/** All servers are killed and started. */
async function powerCut(site: ControlSite, run: ControlRun): Promise<void> {
  run.progress("all servers killed and started");
  await Promise.all(site.servers.map((server) => server.kill()));
  const started = performance.timeOrigin + performance.now();
  await Promise.all(site.servers.map((server) => server.start()));
  await sleep(1_000);
  const complete = await run.ask<Complete>({ do: "complete", withinMs: STORM_WITHIN_MS });
  const seconds = (Math.max(...complete.map(({ atMs }) => atMs)) - started) / 1000;
  run.add("all servers killed and started, until all pairs are complete", seconds, "s");
  run.note("all servers killed and started", complete);
}

/** A relayed pair at the relay of one server, and at those of two. */
async function relays(
  site: ClusterSite,
  { agents }: Registered,
  measured: Rounds,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
  progress: (line: string) => void,
): Promise<void> {
  await using pair = new Worker("mesh-pair.ts");
  const { url, servers } = site;
  await pair.ask({ do: "announce", url, login: agents.at(-1) });
  const ports = servers.map((server) => Number(new URL(server.url).port));
  for (let round = 0; round < rounds; round++) {
    progress(`relays, round ${round + 1} of ${rounds}`);
    for (const [name, receiver] of [
      ["relayed at one server", 0],
      ["relayed at two servers", 1],
    ] as const) {
      await pair.ask({ do: "connect", sender: ports[0], receiver: ports[receiver] });
      const before = siteCpu(site).servers;
      const sent = await pair.ask<{ packets: number; lost: number; seconds: number }>({
        do: "load",
        ...RELAY,
        seconds,
      });
      const cpu = siteCpu(site).servers - before;
      const { p50, p99 } = await pair.ask<{ p50: number; p99: number }>({
        do: "trips",
        bytes: RELAY.bytes,
        seconds: 1,
      });
      measured.add(`${name}: ${RELAY.bytes} B`, sent.packets / sent.seconds / 1000, "k packets/s", higher);
      measured.add(`${name}: server CPU per packet and its answer`, (cpu * 1e6) / sent.packets, "µs", lower);
      measured.add(`${name}: round trip, p50`, p50, "ms", lower);
      measured.add(`${name}: round trip, p99`, p99, "ms", lower);
    }
  }
}

interface Sites {
  readonly one: ControlSite;
  readonly atOne: Registered;
  readonly many: ControlSite;
  readonly atMany: Registered;
}

/** `coder ssh` at both in turn. */
async function sessions(
  { one, atOne, many, atMany }: Sites,
  measured: Rounds,
  runs: number,
  progress: (line: string) => void,
): Promise<string> {
  progress(`${runs} × coder ssh at each`);
  await using owned = new AsyncDisposableStack();
  const name = `w${atOne.agents.length - 1}`;
  const kinds = [
    [ONE, owned.use(await Sessions.open(one.url, atOne.agents.at(-1)!, name))],
    [MANY, owned.use(await Sessions.open(many.url, atMany.agents.at(-1)!, name))],
  ] as const;
  const succeeded = new Map<string, number>();
  for (let run = 0; run < runs; run++) {
    for (const [kind, at] of kinds) {
      const ms = await at.run();
      if (ms === undefined) continue;
      succeeded.set(kind, (succeeded.get(kind) ?? 0) + 1);
      measured.add(`${kind}: coder ssh`, ms, "ms", lower);
    }
  }
  for (const [kind] of kinds)
    measured.add(`${kind}: coder ssh that succeeded`, succeeded.get(kind) ?? 0, `of ${runs}`, {
      ...higher,
      target: runs,
    });
  return `coder ssh: ${kinds.map(([kind]) => `${succeeded.get(kind) ?? 0} of ${runs} at ${kind}`).join(", ")}`;
}

/** The figures that have targets as ratios. */
function compare(measured: Rounds, peers: number): void {
  const figures = new Map<string, Figure>(measured.figures().map((figure) => [figure.name, figure]));
  const value = (name: string): number => figures.get(name)?.value ?? Number.NaN;
  const share = (what: string, of: string, to: string, target: number, better: "higher" | "lower" = "lower"): void =>
    measured.add(what, value(of) / value(to), "×", { better, target });
  const storm = "connect storm, server CPU per connection";
  const steady = "steady, server CPU per minute and connection";
  share(`${storm}, ${MANY} to one`, `${MANY}: ${storm}`, `${ONE}: ${storm}`, TARGETS.stormCpu);
  share(`${steady}, ${MANY} to one`, `${MANY}: ${steady}`, `${ONE}: ${steady}`, TARGETS.steadyCpu);
  share(
    "connect storm, CPU of PostgreSQL to that of its servers",
    `${MANY}: connect storm, CPU of PostgreSQL`,
    `${MANY}: connect storm, server CPU`,
    TARGETS.stormDatabase,
  );
  measured.add(
    `steady, CPU of PostgreSQL for ${2 * peers} connections`,
    value(`${MANY}: steady, CPU of PostgreSQL`),
    "s a minute",
    {
      ...lower,
      target: TARGETS.steadyDatabaseSeconds,
    },
  );
  measured.add("connect storm, until all pairs are complete", value(`${MANY}: connect storm`), "s", {
    ...lower,
    target: TARGETS.stormSeconds,
  });
  share("coder ssh, median of three servers to one", `${MANY}: coder ssh`, `${ONE}: coder ssh`, TARGETS.ssh);
  const bytes = `${RELAY.bytes} B`;
  share(
    "relayed at two servers to one, packets",
    `relayed at two servers: ${bytes}`,
    `relayed at one server: ${bytes}`,
    TARGETS.relayShare,
    "higher",
  );
  const added = value("relayed at two servers: round trip, p50") - value("relayed at one server: round trip, p50");
  measured.add("relayed at two servers, added round trip, p50", added, "ms", {
    ...lower,
    target: TARGETS.relayAddedMs,
  });
}
