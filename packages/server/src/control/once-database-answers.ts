import { DomainError } from "../base/domain-error.ts";
import { pause } from "../base/gradual-end.ts";

const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 2_000;

/**
 * Runs `work` for an open connection and repeats it while the database is away or busy: a failed call would make an agent end its
 * connection, and there may be no other server to take it. Rejects once `over`, which aborts with the connection, and with any
 * other failure.
 */
export async function onceDatabaseAnswers<Result>(work: () => Promise<Result>, over: AbortSignal): Promise<Result> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LAST_PAUSE_MS, 2 * pauseMs)) {
    try {
      return await work();
    } catch (error) {
      const isAway = error instanceof DomainError && (error.code === "unavailable" || error.code === "busy");
      if (!isAway || over.aborted) throw error;
    }
    await pause(pauseMs * (0.5 + Math.random()), over);
  }
}
