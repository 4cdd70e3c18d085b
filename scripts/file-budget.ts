/**
 * How long a test file of the unit tier may take. A file runs on one worker from its beginning to its end: a long one
 * delays the tier, and repeating one of its tests after a failure takes as long.
 */

/** On a machine with other work. A file that takes longer is named after the run. */
export const FILE_BUDGET_S = 30;
/**
 * A file that takes this many budgets fails the run. Durations depend on what else the machine does, so a budget grows
 * with the load: a file within its budget has to become several times slower, at the same load, to get here.
 */
const FAILING_BUDGETS = 2;

export interface FileDuration {
  readonly name: string;
  readonly seconds: number;
}

/**
 * @param loadPerCore Runnable processes for each core; less than one counts as one.
 * @returns the files beyond the budget, slowest first, and those of them that fail the run.
 */
export function beyondBudget(
  files: readonly FileDuration[],
  loadPerCore: number,
): { readonly slow: readonly string[]; readonly failures: readonly string[] } {
  const limit = FAILING_BUDGETS * FILE_BUDGET_S * Math.max(1, loadPerCore);
  const slow = files.filter(({ seconds }) => seconds > FILE_BUDGET_S).sort((a, b) => b.seconds - a.seconds);
  return {
    slow: slow.map(({ name, seconds }) => `${name}: ${seconds.toFixed(0)} s`),
    failures: slow
      .filter(({ seconds }) => seconds > limit)
      .map(
        ({ name, seconds }) =>
          `${name}: took ${seconds.toFixed(0)} s, which is far beyond ${FILE_BUDGET_S} s: split it by subject, share what its tests start, or use virtual time`,
      ),
  };
}
