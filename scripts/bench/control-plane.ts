/**
 * One control plane with thousands of agents and clients: how it copes when all connect at once, what they cost while
 * connected, how fast a change reaches the others, and how they reconnect after a crash.
 */
import { availableParallelism } from "node:os";
import { buildCli } from "../build.ts";
import { ControlRun, type Settled, STORM_WITHIN_MS, WORKERS } from "./control-run.ts";
import { ControlServer } from "./control-server.ts";
import { siteCpu } from "./control-site.ts";
import { usageMissing } from "./process-usage.ts";
import { register } from "./registration.ts";
import { type Bench, Rounds } from "./report.ts";

const SMALL = 500;
const LARGE = 2_000;
/** Covers two heartbeats of every agent and one report. */
const STEADY_MS = 30_000;

export const controlPlaneBench: Bench = async ({ profileFolder, progress }) => {
  if (usageMissing.length > 0) {
    return { figures: [], ratios: [], missing: [`needs ${usageMissing.join(", ")}`], notes: [] };
  }
  await buildCli();
  const measured = new Rounds();
  const notes: string[] = [];
  await using site = await ControlServer.open(profileFolder);
  await site.server.start();
  progress(`control plane: registering ${LARGE} workspaces`);
  const { agents, ownerTokens } = await register(site.url, LARGE);
  for (const count of [SMALL, LARGE]) {
    await site.server.kill();
    await site.server.start(); // so that memory is that of these peers alone
    await using run = await ControlRun.open(site, `${count} + ${count}`, measured, progress);
    await run.storm(agents.slice(0, count));
    await run.steady(2 * count, STEADY_MS);
    await run.fanOut("change of an agent's node at its client");
    if (count === LARGE) await run.crowdFanOut(ownerTokens.slice(1));
    await restart(site, run, 2 * count);
    notes.push(...run.notes);
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
      ...notes,
    ],
  };
};

async function restart(site: ControlServer, run: ControlRun, connections: number): Promise<void> {
  run.progress("restart");
  await site.server.kill();
  const started = performance.timeOrigin + performance.now();
  await site.server.start();
  const listening = (performance.timeOrigin + performance.now() - started) / 1000;
  const settled = await run.ask<Settled>({ do: "settled", withinMs: STORM_WITHIN_MS });
  run.add("restart, until all are back", (Math.max(...settled.map(({ atMs }) => atMs)) - started) / 1000, "s");
  run.add("restart, server CPU per connection", (siteCpu(site).servers * 1000) / connections, "ms");
  run.note(`restart (answering after ${listening.toFixed(1)} s)`, settled);
}
