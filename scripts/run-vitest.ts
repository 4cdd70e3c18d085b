/** Runs one vitest configuration and keeps its counts in .build/results/<tier>.json for the closing line of a whole run. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

export interface TierResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
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
  const report = JSON.parse(readFileSync(raw, "utf8")) as {
    numPassedTests: number;
    numFailedTests: number;
    numPendingTests: number;
    numTodoTests: number;
    numFailedTestSuites: number;
  };
  // A file that failed to load has no failed test in it, but is no success either.
  const failed = report.numFailedTests === 0 && run.status !== 0 ? 1 : report.numFailedTests;
  writeResult(tier, { passed: report.numPassedTests, failed, skipped: report.numPendingTests + report.numTodoTests });
  return run.status ?? 1;
}

export function writeResult(tier: string, result: TierResult): void {
  writeFileSync(join(root, ".build/results", `${tier}.json`), JSON.stringify(result));
  process.stdout.write(`${tier}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped\n`);
}
