/**
 * How long a test file of the unit tier may take. A file runs on one worker from its beginning to its end: a long one
 * delays the tier, and repeating one of its tests after a failure takes as long.
 */

/** The budget on a busy machine. A file that takes longer is named after the run, which does not fail for it. */
export const FILE_BUDGET_S = 30;

export interface FileDuration {
  readonly name: string;
  readonly seconds: number;
}

/** Files beyond the budget in words, the slowest first. */
export function beyondBudget(files: readonly FileDuration[]): readonly string[] {
  return files
    .filter(({ seconds }) => seconds > FILE_BUDGET_S)
    .sort((a, b) => b.seconds - a.seconds)
    .map(({ name, seconds }) => `${name}: ${seconds.toFixed(0)} s`);
}
