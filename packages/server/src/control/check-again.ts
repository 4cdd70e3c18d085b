import type { Logger } from "../base/log.ts";
import { onceDatabaseAnswers } from "./once-database-answers.ts";
import type { OpenSocket } from "./open-socket.ts";

/**
 * Checks the rights of a connection again once it is open, because an event that took them away just before found no connection
 * to end. The handshake has been answered, so a failure can no longer be reported: the check waits for the database, and any
 * other failure ends the connection.
 * @param look Resolves with the reason why the connection has to end; undefined if it may stay.
 * @returns whether the connection is still open.
 */
export async function checkAgain(
  open: Pick<OpenSocket, "over" | "end">,
  log: Pick<Logger, "error">,
  look: () => Promise<string | undefined>,
): Promise<boolean> {
  const reason = await onceDatabaseAnswers(look, open.over).catch((error: unknown) => {
    if (!open.over.aborted) log.error({ err: error }, "the rights of a connection could not be looked up");
    return "access could not be looked up";
  });
  if (open.over.aborted) return false;
  if (reason !== undefined) open.end(reason);
  return reason === undefined;
}
