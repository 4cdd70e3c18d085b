/**
 * `npm run bench [-- NAME... --rounds N --seconds N --megabytes N --rows TEXT --peers N --beside CHECKOUT --json --profile FOLDER]`:
 * throughput and latency of the system and of alternatives, in turn in one run. The machine is never idle: read the
 * ratios. The last whole run of every bench is kept in bench/results/, and the tables of docs/measurements.md are
 * generated from them.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { aeadBench } from "./bench/aead.ts";
import { appsBench } from "./bench/apps.ts";
import { clusterBench } from "./bench/cluster.ts";
import { commandBench } from "./bench/command.ts";
import { concurrencyBench } from "./bench/concurrency.ts";
import { controlPlaneBench } from "./bench/control-plane.ts";
import { dashboardBench } from "./bench/dashboard.ts";
import { fairnessBench } from "./bench/fairness.ts";
import { idleBench } from "./bench/idle.ts";
import { latencyBench } from "./bench/latency.ts";
import { linksBench } from "./bench/links.ts";
import { relayBench } from "./bench/relay.ts";
import { relayLoadBench } from "./bench/relay-load.ts";
import { type Bench, formatResult } from "./bench/report.ts";
import { type KeptResult, keep, withTable } from "./bench/results.ts";
import { tunnelBench } from "./bench/tunnel.ts";
import { userBench } from "./bench/user.ts";
import { vethBench } from "./bench/veth.ts";
import { exitWithUsage, scriptArguments } from "./script-arguments.ts";

const root = join(import.meta.dirname, "..");
const BENCHES: readonly (readonly [name: string, title: string, bench: Bench])[] = [
  ["aead", "AEAD of one data packet", aeadBench],
  ["tunnel", "Tunnel, straight over UDP on loopback", tunnelBench],
  ["veth", "Tunnel between two network namespaces, veth of MTU 1500", vethBench],
  ["concurrency", "Many streams, many peers", concurrencyBench],
  ["latency", "Small packets beside bulk", latencyBench],
  ["links", "Long and lossy links of 100 Mbit/s", linksBench],
  ["fairness", "A kernel CUBIC flow beside another flow on a bottleneck of 20 Mbit/s", fairnessBench],
  ["relay", "Tunnel through a relay", relayBench],
  ["relay-load", "One relay under load, and what its connections cost", relayLoadBench],
  ["control-plane", "One control plane with thousands of agents and clients", controlPlaneBench],
  ["cluster", "Three servers on PostgreSQL behind nginx, beside one on SQLite", clusterBench],
  ["idle", "An agent that has nothing to do", idleBench],
  ["apps", "Web apps through the server", appsBench],
  ["dashboard", "Pages of the dashboard in Chromium", dashboardBench],
  ["command", "Start of the command", commandBench],
  ["user", "Sessions, copies and forwards beside OpenSSH", userBench],
];

const DEFAULT_PEERS = 1_000;

const names = BENCHES.map(([name]) => name);
const usage = `bench [NAME...] [--rounds 1…] [--seconds 1…20] [--megabytes 1…2000] [--rows TEXT] [--peers 10…5000] [--beside CHECKOUT] [--json] [--profile FOLDER]\nNAME: ${names.join(", ")}; all by default`;
const { values, positionals } = scriptArguments(usage, {
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2.5" },
    megabytes: { type: "string", default: "100" },
    rows: { type: "string", default: "" },
    peers: { type: "string", default: String(DEFAULT_PEERS) },
    beside: { type: "string" },
    profile: { type: "string" },
  },
});
const unknown = positionals.filter((name) => !names.includes(name));
const [rounds, seconds, megabytes] = [Number(values.rounds), Number(values.seconds), Number(values.megabytes)];
const peers = Number(values.peers);
const sizesRight =
  seconds >= 1 &&
  seconds <= 20 &&
  megabytes >= 1 &&
  megabytes <= 2000 &&
  Number.isInteger(peers) &&
  peers >= 10 &&
  peers <= 5000;
if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1 || !sizesRight) exitWithUsage(usage);

const results: Record<string, KeptResult> = {};
const folder = join(root, "bench/results");
const loadBefore = loadavg()[0]!;
if (loadBefore > cpus().length / 2) {
  process.stderr.write(
    `This machine is busy (load ${loadBefore.toFixed(1)}, ${cpus().length} cores): only ratios mean something.\n`,
  );
}
let failed = false;
for (const [name, title, bench] of BENCHES) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  try {
    const result = await bench({
      rounds,
      seconds,
      megabytes,
      rows: values.rows,
      peers,
      progress: (line) => void process.stderr.write(`${line}\n`),
      profileFolder: values.profile === undefined ? undefined : join(process.cwd(), values.profile),
      beside: values.beside === undefined ? undefined : resolve(values.beside),
    });
    results[name] = { title, date: new Date().toISOString(), machine: machine(), seconds, result };
    // A profiler makes everything slower; another checkout, a part of the rows, or few peers, is of interest to this run only.
    const isOfAll = values.beside === undefined && values.rows === "" && peers >= DEFAULT_PEERS;
    const whole = values.profile === undefined && isOfAll;
    if (whole) keep(folder, name, results[name]);
    if (!values.json) process.stdout.write(`${formatResult(title, result)}\n`);
  } catch (error) {
    failed = true;
    process.stderr.write(`${title}: failed: ${(error as Error).stack}\n`);
  }
}
const page = join(root, "docs/measurements.md");
const before = readFileSync(page, "utf8");
const after = withTable(before, folder, names);
if (after !== before) writeFileSync(page, after);
if (values.json) process.stdout.write(`${JSON.stringify(results)}\n`);
process.exit(failed ? 1 : 0);

function machine(): Record<string, string | number> {
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? "unknown",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    loadBefore,
    commit: execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim(),
  };
}
