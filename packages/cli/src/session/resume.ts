/** `coder ssh --resume`: opens a new shell that the workspace keeps, or the one that was left last. */

import { randomUUID } from "node:crypto";
import type { ConnectedWorkspace } from "coder-client/connection/connect";
import { formatDuration } from "coder-client/diagnosis/durations";
import { TERMINAL_PORT } from "coder-protocol/tunnel-ports";
import { onAbort } from "wg-userspace/async/abort";
import type { SessionStreams } from "./on-connection.ts";
import { SHELL_EXIT, showShell } from "./resumable-shell.ts";
import { KEEP_MS, ResumeStore } from "./resume-store.ts";
import type { SessionEnd } from "./ssh-session.ts";

/** How often an attached shell is recorded as such. */
const TOUCH_MS = 60_000;

export async function resumeShell(
  command: string | undefined,
  { connection, workspace, agent }: ConnectedWorkspace,
  configDir: string,
  streams: SessionStreams,
): Promise<SessionEnd> {
  const { stderr, signal } = streams;
  const store = new ResumeStore(configDir, agent.id);
  const kept = command === undefined ? store.claim() : undefined;
  const id = kept?.id ?? randomUUID();
  if (kept === undefined) store.add(id);
  else {
    const others = kept.more === 0 ? "" : `; ${kept.more} more to resume, each in a terminal of its own`;
    const ago = formatDuration(Math.max(0, Math.round((Date.now() - kept.seenAt) / 1000) * 1000));
    stderr.write(`Back in the shell that was left ${ago} ago${others}\n`);
  }
  const touching = setInterval(() => store.touch(id), TOUCH_MS);
  touching.unref();
  try {
    store.touch(id);
    const stream = await connection.dial(TERMINAL_PORT, { signal });
    const stopWatching = onAbort(signal, () => stream.destroy());
    const outcome = await showShell({ ...streams, stream, id, keepMs: KEEP_MS, command: command ?? "" });
    stopWatching();
    if (outcome === "ended") store.remove(id);
    else store.touch(id);
    if (outcome !== "ended" && !signal.aborted) {
      const how = outcome === "left" ? "You left the shell" : "Connection to the workspace was lost";
      stderr.write(
        `\r\n${how}; it keeps running for ${KEEP_MS / 3_600_000} h: coder ssh --resume ${workspace.name}\r\n`,
      );
    }
    return { code: SHELL_EXIT[outcome], orderly: outcome !== "lost" };
  } finally {
    clearInterval(touching);
  }
}
