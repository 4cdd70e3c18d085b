import { presentServerError, ServerError } from "coder-server/base/errors";
import { reportFailure } from "../errors/report.ts";
import { EXIT } from "../errors/user-error.ts";
import type { Display } from "../ui/display.ts";

/** Does the work, reports failures and returns the exit code: callers in other bundles do not know its error classes. */
export async function reported(
  { say }: Pick<Display, "say">,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<number> {
  try {
    await work();
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ServerError)) return reportFailure(error, signal);
    say(presentServerError(error));
    return EXIT.failure;
  }
}
