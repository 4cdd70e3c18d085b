/** The work of `coder cp`. */

import { SSH_PORT } from "coder-protocol/tunnel-ports";
import { onAbort } from "wg-userspace/async/abort";
import type { ConnectRequest } from "../connection/connect.ts";
import { connectSsh } from "../connection/ssh-client.ts";
import { openWatched } from "../connection/watched-connection.ts";
import { UserError } from "../errors/user-error.ts";
import type { DeploymentOptions } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { Copier, type CopyProgress } from "./copier.ts";
import { LocalFiles } from "./local-files.ts";
import { planCopy, printableName } from "./location.ts";
import { RemoteFiles } from "./remote-files.ts";

const REDRAW_MS = 200;
const STOP_GRACE_MS = 2_000;

export interface CopyOptions {
  readonly deployment: DeploymentOptions;
  /** Everything except the workspace, which the paths name. */
  readonly connect: Pick<ConnectRequest, "wait" | "timeoutMs" | "disableDirect" | "region">;
  readonly verbose: boolean;
  readonly recursive: boolean;
  /** Write each file to disk before it takes its place. */
  readonly sync: boolean;
  /** Sources, then the destination. */
  readonly paths: readonly string[];
}

export async function runCopy(options: CopyOptions, display: Display, cancel: AbortSignal): Promise<void> {
  const { stages } = display;
  const plan = planCopy(options.paths);
  const { deployment, connect, verbose } = options;
  const request = { ...connect, name: plan.workspace, autostart: true, telemetry: undefined, firstPort: SSH_PORT };
  await using watched = await openWatched({ ...request, deployment, verbose }, display, cancel);
  const { connection, signal } = watched;
  const say = (text: string): void => {
    stages.clear();
    display.say(text);
  };
  try {
    const stream = await connection.dial(SSH_PORT, { signal });
    // Pending work is completed and closed, but only for this long if nothing answers any more.
    const cut = (): void => void setTimeout(() => stream.destroy(), STOP_GRACE_MS).unref();
    onAbort(signal, cut);
    const client = await connectSsh(stream);
    const [here, there] = [new LocalFiles(), await RemoteFiles.open(client)];
    const startedAt = performance.now();
    const copier = new Copier({
      from: plan.direction === "up" ? here : there,
      to: plan.direction === "up" ? there : here,
      recursive: options.recursive,
      sync: options.sync,
      signal,
      onProgress: progressLine(stages),
      say,
    });
    await copier.copy(plan.sources, plan.destination);
    client.end();
    const { files, bytes, resumedBytes, skipped } = copier.result;
    const seconds = (performance.now() - startedAt) / 1000;
    if (display.sayLive) {
      const resumed = resumedBytes === 0 ? "" : `, ${size(resumedBytes)} of it already there`;
      say(`${files} ${files === 1 ? "file" : "files"}, ${size(bytes)} in ${seconds.toFixed(1)} s${resumed}`);
    }
    if (skipped > 0) throw incomplete(skipped);
  } catch (error) {
    if (signal.aborted) {
      say("Stopped; run the same command to continue");
      throw signal.reason;
    }
    throw error;
  } finally {
    stages.clear();
  }
}

function incomplete(skipped: number): UserError {
  return new UserError(`${skipped} ${skipped === 1 ? "entry was" : "entries were"} skipped`, {
    why: "each is named above; everything else was copied",
    code: "ERR_SKIPPED",
  });
}

function progressLine(stages: Display["stages"]): (progress: CopyProgress) => void {
  let drawnAt = 0;
  const since = performance.now();
  return ({ name, doneBytes, totalBytes, files, filesUnderWay, bytes }) => {
    const now = performance.now();
    if (now - drawnAt < REDRAW_MS) return;
    drawnAt = now;
    const rate = `${size(now > since ? (bytes * 1000) / (now - since) : 0)}/s`;
    if (filesUnderWay > 1) {
      stages.set(`${files} files, ${size(bytes)}, ${rate}`);
      return;
    }
    const percent = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
    stages.set(`${printableName(name)} ${percent} % of ${size(totalBytes)}, ${rate}`);
  };
}

function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
