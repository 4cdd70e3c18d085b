/** Follows a workspace: its present state, and each change until aborted. */

import { sleep } from "wg-userspace/async/abort";
import { type Logger, silentLogger } from "wg-userspace/base/ports";
import { ClientError } from "../base/client-error.ts";
import { Redial } from "../base/redial.ts";
import type { Deployment } from "./deployment.ts";
import { EventStreamParser } from "./event-stream.ts";
import { type WorkspaceRef, workspaceOf } from "./workspaces.ts";

/** Servers send something every 15 s, so a stream that is silent for this long is dead. */
const SILENCE_MS = 60_000;
/** HTTP statuses that another request cannot change. */
const FINAL_STATUSES: ReadonlySet<number> = new Set([401, 403, 404, 410]);

export interface WorkspaceWatchOptions {
  readonly deployment: Deployment;
  readonly workspaceId: string;
  readonly onWorkspace: (workspace: WorkspaceRef) => void;
  readonly signal: AbortSignal;
  readonly logger?: Logger;
}

/**
 * Runs until aborted, through any number of connections. Rejects with ClientError when the workspace is gone or may no longer be
 * seen; resolves when aborted.
 */
export async function watchWorkspace(options: WorkspaceWatchOptions): Promise<void> {
  const { signal } = options;
  const logger = options.logger ?? silentLogger;
  const redial = new Redial({ limitMs: 15_000 });
  while (!signal.aborted) {
    let pauseMs = 0;
    try {
      await followOnce(options, () => redial.opened(performance.now())).finally(() => {
        pauseMs = redial.ended(performance.now());
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ClientError && FINAL_STATUSES.has(error.status ?? 0)) throw error;
      logger.log("debug", "the workspace is not watched, trying again", { error: String(error) });
    }
    await sleep(pauseMs, signal).catch(() => undefined); // aborted: the loop's condition ends it
  }
}

async function followOnce(options: WorkspaceWatchOptions, onOpened: () => void): Promise<void> {
  const path = `/api/v2/workspaces/${encodeURIComponent(options.workspaceId)}/watch`;
  const stream = await options.deployment.stream(path, { accept: "text/event-stream", signal: options.signal });
  onOpened();
  const silence = setTimeout(() => stream.destroy(new Error("the event stream fell silent")), SILENCE_MS);
  silence.unref();
  const parser = new EventStreamParser();
  try {
    for await (const chunk of stream) {
      silence.refresh();
      for (const { type, data } of parser.feed(chunk as Buffer)) {
        if (type === "data") options.onWorkspace(workspaceOf(JSON.parse(data)));
        else if (type === "error") throw new Error(`the server says: ${data.slice(0, 200)}`);
      }
    }
  } finally {
    clearTimeout(silence);
    stream.destroy();
  }
}
