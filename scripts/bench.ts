/**
 * `npm run bench [-- --json] [--only NAME] [--rounds N] [--seconds N] [--profile FOLDER]`: what the system does per second
 * and what others do, in turn in one run. The machine is never quiet: read the ratios. JSON is kept in bench/results/.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { aeadBench } from "./bench/aead.ts";
import { commandBench } from "./bench/command.ts";
import { relayBench, relayMemoryBench } from "./bench/relay.ts";
import { type Bench, type BenchResult, formatResult } from "./bench/report.ts";
import { tunnelBench } from "./bench/tunnel.ts";

const root = join(import.meta.dirname, "..");
const BENCHES: readonly (readonly [name: string, title: string, bench: Bench])[] = [
  ["aead", "AEAD of one data packet", aeadBench],
  ["tunnel", "Tunnel, straight over UDP on loopback", tunnelBench],
  ["relay", "Tunnel through our relay", relayBench],
  ["relay-memory", "Memory of idle relay connections", relayMemoryBench],
  ["command", "Start of the command", commandBench],
];

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    only: { type: "string", multiple: true },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "2.5" },
    profile: { type: "string" },
  },
});
const names = BENCHES.map(([name]) => name);
const unknown = (values.only ?? []).filter((name) => !names.includes(name));
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1 || !(seconds >= 1 && seconds <= 20)) {
  process.stderr.write(
    `usage: bench [--json] [--only ${names.join("|")}] [--rounds 1…] [--seconds 1…20] [--profile FOLDER]\n`,
  );
  process.exit(2);
}

const results: Record<string, BenchResult> = {};
const loadBefore = loadavg()[0]!;
if (loadBefore > cpus().length / 2) {
  process.stderr.write(
    `This machine is busy (load ${loadBefore.toFixed(1)}, ${cpus().length} cores): only ratios mean something.\n`,
  );
}
let failed = false;
for (const [name, title, bench] of BENCHES) {
  if (values.only !== undefined && !values.only.includes(name)) continue;
  try {
    const result = await bench({
      rounds,
      seconds,
      progress: (line) => void process.stderr.write(`${line}\n`),
      ...(values.profile === undefined ? {} : { profileFolder: join(process.cwd(), values.profile) }),
    });
    results[name] = result;
    if (!values.json) process.stdout.write(`${formatResult(title, result)}\n`);
  } catch (error) {
    failed = true;
    process.stderr.write(`${title}: failed: ${(error as Error).stack}\n`);
  }
}
const report = { date: new Date().toISOString(), machine: machine(), rounds, seconds, results };
const folder = join(root, "bench/results");
mkdirSync(folder, { recursive: true });
const file = join(folder, `${report.date.replaceAll(":", "-")}.json`);
writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`);
if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
process.stderr.write(`kept in ${file}\n`);
process.exit(failed ? 1 : 0);

function machine(): Record<string, unknown> {
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cores: cpus().length,
    cpu: cpus()[0]?.model,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    loadBefore,
    commit: execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim(),
  };
}
