/**
 * `npm run mutate [-- CORE…] [--file PATTERN] [--sample PERCENT [--seed N]] [--concurrency N] [--patience SECONDS]`:
 * changes the engine's cores in one small place at a time, and counts how many of these mutants the tests kill. Fails
 * below THRESHOLD. A full run takes hours: run it overnight, or for the core under change; a sample of a few percent
 * takes minutes. Survivors are printed and listed in .build/mutation/CORE.json.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CORE_VARIABLE, CORES } from "./mutate/cores.ts";
import { sampleLines } from "./mutate/sample.ts";
import { exitWithUsage, scriptArguments } from "./script-arguments.ts";

/** Percent of mutants that must be killed in each core. */
const THRESHOLD = 85;
/**
 * A mutant that loops is ended after this long beyond what its tests usually take; generous, because time-outs count as
 * kills. A machine whose load changes needs more (`--patience`), otherwise slow mutants count as killed.
 */
const PATIENCE_S = 15;

const root = join(import.meta.dirname, "..");
const tools = join(import.meta.dirname, "mutate");
const results = join(root, ".build/mutation");

const usage = `mutate [${Object.keys(CORES).join("|")}]… [--file PATTERN] [--sample PERCENT [--seed N]] [--concurrency N] [--patience SECONDS]`;
const { values, positionals } = scriptArguments(usage, {
  allowPositionals: true,
  options: {
    file: { type: "string" },
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    concurrency: { type: "string", default: "2" },
    patience: { type: "string", default: String(PATIENCE_S) },
  },
});
const unknown = positionals.filter((name) => !(name in CORES));
const concurrency = Number(values.concurrency);
const percent = values.sample === undefined ? 100 : Number(values.sample);
const seed = Number(values.seed);
const patience = Number(values.patience);
const numbersFit = Number.isInteger(concurrency) && concurrency >= 1 && Number.isInteger(seed) && patience > 0;
if (unknown.length > 0 || !numbersFit || !(percent > 0 && percent <= 100)) exitWithUsage(usage);

run(
  "npx",
  ["--yes", packageManager(), "install", "--ignore-workspace", "--frozen-lockfile", "--reporter=silent"],
  tools,
);
mkdirSync(results, { recursive: true });
let failed = false;
for (const core of positionals.length > 0 ? positionals : Object.keys(CORES)) {
  mutate(core);
  const { score, survivors } = read(core);
  for (const line of survivors) process.stdout.write(`${line}\n`);
  const byTime = score.timedOut === 0 ? "" : ` (${score.timedOut} by time-out)`;
  process.stdout.write(
    `${core}: ${score.killed} of ${score.total} mutants killed${byTime}, ${score.percent.toFixed(1)} %\n`,
  );
  if (score.percent < THRESHOLD) failed = true;
}
process.exit(failed ? 1 : 0);

function mutate(core: string): void {
  const folder = `packages/wg-userspace/src/${core}`;
  const files = globSync(`${folder}/${values.file ?? "**/*.ts"}`, { cwd: root })
    .filter((name) => !/\.test\.ts$|\/testing\.ts$|\/virtual-[^/]*$/.test(name))
    .sort();
  const isSample = percent < 100;
  const options = {
    testRunner: "vitest",
    vitest: { configFile: "scripts/mutate/vitest.config.ts", related: false },
    plugins: [join(tools, "node_modules/@stryker-mutator/vitest-runner/dist/src/index.js")],
    mutate: isSample ? sampleLines(files, percent, seed, root) : files,
    // Error texts are for people; tests that repeat them would only duplicate them.
    mutator: { excludedMutations: ["StringLiteral"] },
    ignorePatterns: ["docs", "bench", "**/dist", "scripts/mutate/node_modules"],
    disableTypeChecks: false,
    // Stryker reads tsconfig.json with an older TypeScript than the project's; nothing here needs it to.
    tsconfigFile: "none.json",
    coverageAnalysis: "perTest",
    ignoreStatic: true,
    concurrency,
    timeoutMS: 1000 * patience,
    tempDirName: ".build/mutating",
    incremental: !isSample,
    incrementalFile: join(results, `${core}.incremental.json`),
    reporters: ["json", "progress-append-only"],
    jsonReporter: { fileName: join(results, `${core}.json`) },
  };
  const file = join(results, `${core}.options.json`);
  writeFileSync(file, JSON.stringify(options));
  run(process.execPath, [join(tools, "node_modules/@stryker-mutator/core/bin/stryker.js"), "run", file], root, {
    [CORE_VARIABLE]: core,
  });
}

interface Report {
  readonly files: Readonly<Record<string, { readonly source: string; readonly mutants: readonly Mutant[] }>>;
}
interface Mutant {
  readonly status: string;
  readonly mutatorName: string;
  readonly replacement: string;
  readonly location: { readonly start: Position; readonly end: Position };
}
interface Position {
  readonly line: number;
  readonly column: number;
}

/** Mutants that no test reaches count as survivors; those that do not compile or never run are not counted. */
function read(core: string) {
  const report = JSON.parse(readFileSync(join(results, `${core}.json`), "utf8")) as Report;
  const survivors: string[] = [];
  let killed = 0;
  let timedOut = 0;
  for (const [file, { source, mutants }] of Object.entries(report.files)) {
    const lines = source.split("\n");
    for (const mutant of mutants) {
      if (mutant.status === "Killed" || mutant.status === "Timeout") killed++;
      if (mutant.status === "Timeout") timedOut++;
      if (mutant.status !== "Survived" && mutant.status !== "NoCoverage") continue;
      const { start, end } = mutant.location;
      const line = lines[start.line - 1]!;
      const was =
        start.line === end.line ? line.slice(start.column - 1, end.column - 1) : `${line.slice(start.column - 1)} …`;
      const reached = mutant.status === "NoCoverage" ? " (no test reaches it)" : "";
      survivors.push(
        `${file}:${start.line} ${mutant.mutatorName}: ${short(was)} → ${short(mutant.replacement)}${reached}`,
      );
    }
  }
  const total = killed + survivors.length;
  return { survivors, score: { killed, timedOut, total, percent: total === 0 ? 100 : (100 * killed) / total } };
}

function short(code: string): string {
  return code.replace(/\s+/g, " ").slice(0, 80);
}

function packageManager(): string {
  return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { packageManager: string }).packageManager;
}

function run(command: string, args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}): void {
  const done = spawnSync(command, args, { cwd, stdio: "inherit", env: { ...process.env, ...env } });
  if (done.status !== 0) {
    process.stderr.write(`${command} ended with ${done.status ?? done.signal}\n`);
    process.exit(1);
  }
}
