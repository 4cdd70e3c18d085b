import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import { sleep } from "wg-userspace/async/abort";

/** The ends of a session and of the control connection may arrive in either order, this far apart. */
const RACE_MS = 200;
const ANSWER_MS = 5_000;

/**
 * Waits until the reason for a session's end may be known. The deployment ends a session together with the control connection and
 * states the reason when that is dialled again; `signal` is then aborted with it. Also resolves when no reason is to be expected.
 */
export async function untilReasonKnown(
  connection: Pick<WorkspaceConnection, "coordinated">,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const ended = AbortSignal.any([signal, over.signal]);
  const wait = (ms: number): Promise<void> => sleep(ms, ended).catch(() => undefined); // the reason is there
  await wait(RACE_MS);
  if (!signal.aborted) await Promise.race([connection.coordinated(), wait(ANSWER_MS)]);
  over.abort();
}
