import { say } from "../base/say.ts";
import { writeBugReport } from "./bug-report.ts";
import { isCancelled, renderUserError, toUserError } from "./present.ts";
import { EXIT } from "./user-error.ts";

/** Prints a failure to stderr, once. Returns the exit code. */
export function reportFailure(error: unknown, signal: AbortSignal): number {
  if (isCancelled(error) || (signal.aborted && error === signal.reason)) return EXIT.cancelled;
  const known = toUserError(error);
  if (known !== undefined) {
    process.stderr.write(`${renderUserError(known)}\n`);
    return known.exit;
  }
  const { path, text } = writeBugReport(error);
  say(`Unexpected error: ${error instanceof Error ? error.message : String(error)}   (ERR_BUG)`);
  if (path !== undefined) say(`  This is a bug in coder. Please report it with the file ${path}`);
  else say(`  This is a bug in coder. Please report it with these lines:\n${text}`);
  return EXIT.bug;
}
