/** The one date of everything in a release, so that equal sources give equal files. */
import { join } from "node:path";
import { run } from "./run.ts";

/** For sources without their history. */
const WITHOUT_HISTORY = Date.UTC(2026, 0, 1) / 1000;

/** Seconds since 1970: SOURCE_DATE_EPOCH, else the date of the last commit. */
export async function sourceDate(environment: NodeJS.ProcessEnv): Promise<number> {
  const given = environment["SOURCE_DATE_EPOCH"];
  if (given !== undefined && given !== "") {
    if (!/^\d{1,10}$/.test(given)) throw new Error(`SOURCE_DATE_EPOCH is "${given}"; it takes seconds since 1970`);
    return Number(given);
  }
  const root = join(import.meta.dirname, "../..");
  return run("git", ["log", "-1", "--format=%ct"], { cwd: root }).then(
    (text) => Number(text),
    () => WITHOUT_HISTORY, // no git, or no repository
  );
}
