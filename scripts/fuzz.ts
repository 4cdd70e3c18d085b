/**
 * `npm run fuzz [-- --inputs N] [--seed S] [--only NAME]`: a million random and mutated inputs for every parser. Fails on a
 * throw, on an input that takes longer than 10 ms every time, on a table over its bound, and on memory that keeps growing.
 */
import { spawnSync } from "node:child_process";
import { PROTOCOL_TARGETS } from "../packages/server/test/fuzz/targets.ts";
import { hexEncode } from "../packages/wg-userspace/src/base/bytes.ts";
import { FuzzRun, type FuzzTargetFactory } from "../packages/wg-userspace/src/testing/fuzz.ts";
import { ENGINE_TARGETS } from "../packages/wg-userspace/test/fuzz/targets.ts";
import { exitWithUsage, scriptArguments } from "./script-arguments.ts";

const LIMIT_MS = 10;
/** Inputs before memory is sampled for the first time: caches and compiled code exist by then. */
const WARM_UP_SHARE = 0.1;
const MAX_GROWTH_BYTES = 8 << 20;
const TARGETS = [...ENGINE_TARGETS, ...PROTOCOL_TARGETS];

const names = TARGETS.map(({ name }) => name);
const usage = `fuzz [--inputs 10…] [--seed S] [--only ${names.join("|")}]…`;
const { values } = scriptArguments(usage, {
  options: {
    inputs: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Math.floor(performance.timeOrigin) >>> 0) },
    only: { type: "string", multiple: true },
  },
});
const [inputs, seed] = [Number(values.inputs), Number(values.seed)];
const unknown = (values.only ?? []).filter((name) => !names.includes(name));
if (unknown.length > 0 || !Number.isInteger(inputs) || inputs < 10 || !Number.isInteger(seed)) exitWithUsage(usage);
if (globalThis.gc === undefined) {
  // Memory is compared after a collection, which needs this flag.
  const again = spawnSync(
    process.execPath,
    ["--expose-gc", import.meta.filename, ...process.argv.slice(2), "--seed", String(seed)],
    {
      stdio: "inherit",
    },
  );
  process.exit(again.status ?? 1);
}

process.stdout.write(`seed ${seed}, ${inputs} inputs per parser\n`);
let failures = 0;
for (const factory of TARGETS) {
  if (values.only === undefined || values.only.includes(factory.name)) failures += (await fuzz(factory)) ? 0 : 1;
}
process.exit(failures === 0 ? 0 : 1);

async function fuzz(factory: FuzzTargetFactory): Promise<boolean> {
  const run = new FuzzRun(factory, seed, { clock: () => performance.now(), cpuClock, limitMs: LIMIT_MS });
  const started = performance.now();
  const warmUp = Math.max(1, Math.floor(inputs * WARM_UP_SHARE));
  let failure = await inTurns(run, warmUp);
  const before = await settledBytes();
  failure ??= await inTurns(run, inputs - warmUp);
  const growth = (await settledBytes()) - before;
  const perSecond = Math.round(run.inputs / ((performance.now() - started) / 1000));
  const grew = growth > MAX_GROWTH_BYTES;
  const verdict = failure === undefined && !grew ? "ok" : "FAILED";
  const memory = `${(growth / 1024).toFixed(0)} KiB`;
  process.stdout.write(
    `${verdict.padEnd(6)} ${factory.name.padEnd(20)} ${String(perSecond).padStart(8)} inputs/s, slowest ${run.slowestMs.toFixed(2)} ms, ` +
      `interrupted ${run.interruptions}, memory ${growth < 0 ? "" : "+"}${memory}\n`,
  );
  if (failure !== undefined) {
    process.stdout.write(`  input ${failure.index} of seed ${seed}: ${failure.what}\n  ${hexEncode(failure.input)}\n`);
  }
  if (grew) process.stdout.write(`  memory grew by more than ${MAX_GROWTH_BYTES >> 20} MiB after the warm-up\n`);
  return failure === undefined && !grew;
}

function cpuClock(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Lets promises of the targets settle. */
async function inTurns(run: FuzzRun, count: number): Promise<ReturnType<FuzzRun["run"]>> {
  for (let left = count; left > 0; left -= 1_000) {
    const failure = run.run(Math.min(1_000, left));
    if (failure !== undefined) return failure;
    await new Promise(setImmediate);
  }
  return undefined;
}

async function settledBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await new Promise(setImmediate);
    globalThis.gc?.();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
