/**
 * Runs one vitest configuration and keeps its counts in .build/results/<tier>.json for the closing line of a full run.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { beyondBudget, FILE_BUDGET_S } from "./file-budget.ts";

const root = join(import.meta.dirname, "..");

export interface TierResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** The failures as the closing lines print them: file, test and the first line of the error. */
  readonly failures: readonly string[];
  /** Files of the unit tier that took longer than their budget. */
  readonly slow: readonly string[];
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    /** Milliseconds since 1970. */
    readonly startTime: number;
    readonly endTime: number;
    readonly assertionResults: readonly {
      fullName: string;
      status: string;
      failureMessages: readonly string[] | null;
    }[];
  }[];
}

/** Returns the exit code. */
export async function runVitest(config: string, tier: string, args: readonly string[]): Promise<number> {
  const folder = join(root, ".build/results");
  const raw = join(folder, `${tier}.vitest.json`);
  mkdirSync(folder, { recursive: true });
  rmSync(raw, { force: true });
  const run = spawnSync(
    process.execPath,
    [
      join(root, "node_modules/vitest/vitest.mjs"),
      "run",
      "--config",
      config,
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${raw}`,
      ...args,
    ],
    { cwd: root, stdio: ["ignore", "inherit", "inherit"] },
  );
  const report = JSON.parse(readFileSync(raw, "utf8")) as VitestReport;
  // The other tiers wait in real time for outages, and start foreign programs.
  const slow = beyondBudget(tier === "unit" ? durationsOf(report) : []);
  const failures = [...failuresOf(report)];
  if (failures.length === 0 && run.status !== 0)
    failures.push("an error outside every test (vitest prints it as unhandled)");
  writeResult(tier, {
    passed: report.numPassedTests,
    // A file that failed to load contains no failed test, but is no success either.
    failed: Math.max(report.numFailedTests, failures.length),
    skipped: report.numPendingTests + report.numTodoTests,
    failures,
    slow,
  });
  return run.status ?? 1;
}

function durationsOf(report: VitestReport): { name: string; seconds: number }[] {
  return report.testResults.map(({ name, startTime, endTime }) => ({
    name: relative(root, name),
    seconds: (endTime - startTime) / 1000,
  }));
}

function failuresOf(report: VitestReport): string[] {
  return report.testResults.flatMap((file) => {
    const name = relative(root, file.name);
    const tests = file.assertionResults.filter(({ status }) => status === "failed");
    if (tests.length === 0 && file.status === "failed") return [`${name}: ${firstLine(file.message)}`];
    return tests.map((test) => `${name} > ${test.fullName}: ${firstLine(test.failureMessages?.[0])}`);
  });
}

function firstLine(message = ""): string {
  return message.split("\n", 1)[0]!.slice(0, 300);
}

function writeResult(tier: string, result: TierResult): void {
  writeFileSync(join(root, ".build/results", `${tier}.json`), JSON.stringify(result));
  for (const file of result.slow) process.stdout.write(`more than ${FILE_BUDGET_S} s: ${file}\n`);
  process.stdout.write(`${tier}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped\n`);
}
