/** The cost of an idle agent: alone, and with one idle client. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { buildCli } from "../build.ts";
import { residentBytes, scheduledSeconds, usageMissing, voluntarySwitches } from "./process-usage.ts";
import { endProcess } from "./processes.ts";
import { type Bench, Rounds } from "./report.ts";
import { coder, startSystem } from "./system.ts";

const MEASURED_MS = 60_000;
/** Start-up work, such as looking for a direct path, is over by then. */
const SETTLE_MS = 15_000;
const OUTPUT_WITHIN_MS = 15_000;
const BARE = "node that does nothing";
const lower = { better: "lower" } as const;

export const idleBench: Bench = async ({ progress }) => {
  if (usageMissing.length > 0) {
    return { figures: [], ratios: [], missing: [`needs ${usageMissing.join(", ")}`], notes: [] };
  }
  await buildCli();
  const measured = new Rounds();
  await using owned = new AsyncDisposableStack();
  const system = owned.use(await startSystem());
  const bare = spawn(process.execPath, ["-e", "setInterval(()=>{},1e9)"], { stdio: "ignore" });
  owned.defer(() => endProcess(bare));
  const observe = async (name: string): Promise<void> => {
    await sleep(SETTLE_MS);
    progress(`idle: ${name}, ${MEASURED_MS / 1000} s`);
    await idleFor(name, system.agentPid, measured);
  };
  await observe("agent, no client");
  measured.add(`${BARE}: resident`, mebibytes(bare.pid!), "MiB", lower);
  const session = spawn(process.execPath, [coder, "ssh", "demo", "--", "echo ready; exec cat"], {
    env: system.environment,
    stdio: ["pipe", "pipe", "ignore"],
  });
  owned.defer(() => endSession(session));
  await once(session.stdout, "data", { signal: AbortSignal.timeout(OUTPUT_WITHIN_MS) });
  await observe("agent, one idle client");
  if (session.exitCode !== null) throw new Error("the idle session did not last");
  return {
    figures: measured.figures(),
    ratios: [
      ...measured.against("agent, no client: resident", `${BARE}: resident`),
      ...measured.against("agent, one idle client: resident", `${BARE}: resident`),
    ],
    missing: [],
    notes: [
      `measured once, over ${MEASURED_MS / 1000} s, ${SETTLE_MS / 1000} s after the start; real "coder server" and "coder agent"`,
      "wake-ups: voluntary context switches; the other threads are those of Node",
      'idle client: "coder ssh" with a program that waits for input; its traffic goes straight over loopback',
    ],
  };
};

async function idleFor(name: string, pid: number, measured: Rounds): Promise<void> {
  const cpuBefore = scheduledSeconds(pid);
  const before = voluntarySwitches(pid);
  const started = performance.now();
  await sleep(MEASURED_MS);
  const minutes = (performance.now() - started) / 60_000;
  const cpu = scheduledSeconds(pid) - cpuBefore;
  const after = voluntarySwitches(pid);
  measured.add(`${name}: resident`, mebibytes(pid), "MiB", lower);
  measured.add(`${name}: CPU`, (cpu * 1000) / minutes, "ms/min", lower);
  measured.add(`${name}: wake-ups of the main thread`, (after.main - before.main) / minutes, "/min", lower);
  measured.add(`${name}: wake-ups of all threads`, (after.all - before.all) / minutes, "/min", lower);
}

function mebibytes(pid: number): number {
  return residentBytes(pid) / 2 ** 20;
}

async function endSession(session: ChildProcess): Promise<void> {
  await endProcess(session, () => session.stdin?.on("error", () => undefined).end());
}
