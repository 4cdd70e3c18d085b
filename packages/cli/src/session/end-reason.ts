import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import { sleep } from "wg-userspace/async/abort";

/** The end of a session and that of the control connection race on their way here. */
const RACE_MS = 200;
const ANSWER_MS = 5_000;

/**
 * Waits for the reason of a session's end. The deployment ends sessions together with the control connection, and states
 * why when that is dialled again: `signal` is aborted with the reason then. Resolves also when nothing is to be expected.
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
