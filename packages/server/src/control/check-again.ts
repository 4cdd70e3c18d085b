import type { Logger } from "../base/log.ts";
import { onceDatabaseAnswers } from "./once-database-answers.ts";
import type { OpenSocket } from "./open-socket.ts";

/**
 * Looks up again what a connection rests on, once it is open: what took that away just before had nothing to end. The handshake
 * is answered by then, so a failure has no answer any more: the database is waited for, and any other failure ends the connection.
 * @param look Resolves with why the connection has to end; undefined: it may stay.
 * @returns whether it is still there.
 */
export async function checkAgain(
  open: Pick<OpenSocket, "over" | "end">,
  log: Pick<Logger, "error">,
  look: () => Promise<string | undefined>,
): Promise<boolean> {
  const reason = await onceDatabaseAnswers(look, open.over).catch((error: unknown) => {
    if (!open.over.aborted) log.error({ err: error }, "what a connection rests on could not be looked up");
    return "access could not be looked up";
  });
  if (open.over.aborted) return false;
  if (reason !== undefined) open.end(reason);
  return reason === undefined;
}
