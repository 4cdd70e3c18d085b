import { DomainError } from "../../base/domain-error.ts";
import { ServerError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Connections } from "./connections.ts";
import { failureKind, failureText } from "./failures.ts";
import type { Target } from "./target.ts";
import { pause } from "./wait.ts";

const WAIT_MS = 60_000;
const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 5_000;
const LOG_EVERY_MS = 10_000;

/**
 * Waits up to a minute for the database, since server and database often start together. A database that rejects the login is not
 * tried again. Throws ServerError ERR_STORE_UNREACHABLE, or `signal.reason`.
 */
export async function waitForDatabase(
  connections: Connections,
  target: Target,
  options: {
    readonly log: Pick<Logger, "info">;
    readonly signal?: AbortSignal | undefined;
    readonly onWaiting?: (what: "waiting for the database") => void;
    readonly waitMs?: number;
  },
): Promise<void> {
  const start = performance.now();
  let logged = Number.NEGATIVE_INFINITY;
  for (let attempt = 0; ; attempt++) {
    options.signal?.throwIfAborted();
    try {
      (await connections.tryOnce()).release();
      return;
    } catch (error) {
      if (error instanceof ServerError) throw error;
      const kind = failureKind(error);
      const temporary = kind === "lost" || kind === "read-only" || kind === "busy" || error instanceof DomainError;
      if (!temporary || performance.now() - start > (options.waitMs ?? WAIT_MS)) throw unreachable(target, error, kind);
      options.onWaiting?.("waiting for the database");
      if (performance.now() - logged >= LOG_EVERY_MS) {
        logged = performance.now();
        options.log.info({ database: target.masked, reason: failureText(error) }, "waiting for the database");
      }
    }
    await pause(Math.min(FIRST_PAUSE_MS * 2 ** attempt, LAST_PAUSE_MS), options.signal);
  }
}

function unreachable(target: Target, error: unknown, kind: ReturnType<typeof failureKind>): ServerError {
  return new ServerError("ERR_STORE_UNREACHABLE", `Cannot use the database ${target.masked}`, {
    why: kind === "read-only" ? "every host in its URL is a standby" : failureText(error),
    nextSteps: [
      kind === "refused"
        ? "check user, password and database name in --postgres-url or CODER_PG_CONNECTION_URL"
        : "check that PostgreSQL runs there and accepts connections from this machine, then start again",
    ],
    cause: error,
  });
}
