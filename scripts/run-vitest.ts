/**
 * Runs one vitest configuration and keeps its counts in .build/results/<tier>.json for the closing line of a full run.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";

const root = join(import.meta.dirname, "..");

export interface TierResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** The failures as the closing lines print them: file, test and the first line of the error. */
  readonly failures: readonly string[];
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
  const failures = failuresOf(report);
  if (failures.length === 0 && run.status !== 0)
    failures.push("an error outside every test (vitest prints it as unhandled)");
  writeResult(tier, {
    passed: report.numPassedTests,
    // A file that failed to load contains no failed test, but is no success either.
    failed: Math.max(report.numFailedTests, failures.length),
    skipped: report.numPendingTests + report.numTodoTests,
    failures,
  });
  return run.status ?? 1;
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
  process.stdout.write(`${tier}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped\n`);
}
