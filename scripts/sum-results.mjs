// Names the failures and the slow test files of every tier, then prints the sum of all counts as the last line.
// Fails when a tier left no counts.
import { readFileSync } from "node:fs";

const sum = { passed: 0, failed: 0, skipped: 0 };
let missing = 0;
for (const tier of ["unit", "postgres", "cluster", "natlab", "interop", "browser"]) {
  try {
    const result = JSON.parse(readFileSync(new URL(`../.build/results/${tier}.json`, import.meta.url), "utf8"));
    for (const key of Object.keys(sum)) sum[key] += result[key];
    for (const failure of result.failures) console.log(`failed in ${tier}: ${failure}`);
    for (const file of result.slow) console.log(`slow in ${tier}: ${file}`);
  } catch (error) {
    console.log(`tier ${tier} left no result: ${error.message}`);
    missing++;
  }
}
const failed = sum.failed + missing;
console.log(`${sum.passed} passed, ${failed} failed, ${sum.skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);
