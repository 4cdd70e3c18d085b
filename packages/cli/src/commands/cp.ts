import { SSH_PORT } from "coder-protocol/tunnel-ports";
import { BaseCommand } from "../base-command.ts";
import { Copier, type CopyProgress } from "../copy/copier.ts";
import { LocalFiles, RemoteFiles } from "../copy/file-system.ts";
import { planCopy, printable } from "../copy/location.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec } from "../flags/spec.ts";
import { connectWorkspace } from "../services/connect.ts";
import { openDeployment } from "../services/deployment.ts";
import { PATH_FLAGS, pathConnectOptions } from "../services/path-options.ts";
import { connectSsh } from "../services/ssh-client.ts";
import { watchConnection } from "../services/stop-watch.ts";
import { createLogger } from "../ui/logger.ts";
import { say } from "../ui/say.ts";
import { StageLine } from "../ui/stages.ts";

const FLAGS: readonly FlagSpec[] = [
  { name: "recursive", char: "r", kind: "boolean", summary: "Copy directories with everything in them" },
  ...PATH_FLAGS,
];
const REDRAW_MS = 200;
const STOP_GRACE_MS = 2_000;

export default class Copy extends BaseCommand {
  static override summary = "Copy files to or from a workspace";
  static override description =
    "Every file is checked by SHA-256 before it takes its place. A copy that was broken off goes on where it was, when it is run again.";
  static override examples = [
    "<%= config.bin %> cp notes.txt dev:",
    "<%= config.bin %> cp -r dev:project/results .",
    "<%= config.bin %> cp a.txt b.txt alice--dev:docs/",
  ];
  static override specs = FLAGS;
  static override words = [
    { name: "source", summary: "path, or workspace:path; several are allowed", required: true },
    { name: "destination", summary: "path, or workspace:path", required: true },
  ];
  static override takesRest = true;

  protected override async execute(line: ParsedLine, cancel: AbortSignal): Promise<undefined> {
    const plan = planCopy(line.words);
    const logger = createLogger({ verbose: booleanFlag(line.values, "verbose"), logDir: undefined });
    const stages = new StageLine();
    const deployment = openDeployment(line.values);
    const { connection, workspace } = await connectWorkspace({
      ...pathConnectOptions({ ...line, words: [plan.workspace] }),
      deployment,
      autostart: true,
      telemetry: undefined,
      firstPort: SSH_PORT,
      signal: cancel,
      logger,
      onStage: (text) => stages.set(text),
    }).finally(() => stages.clear());
    const sayAboveStage = (text: string): void => {
      stages.clear();
      say(text);
    };
    const watch = watchConnection({ deployment, workspace, connection, signal: cancel, logger });
    const { signal } = watch;
    try {
      const stream = await connection.dial(SSH_PORT, { signal });
      // What is under way is finished and closed; where nothing answers any more, that is not waited for.
      const cut = (): void => void setTimeout(() => stream.destroy(), STOP_GRACE_MS).unref();
      signal.addEventListener("abort", cut, { once: true });
      const client = await connectSsh(stream);
      const [here, there] = [new LocalFiles(), await RemoteFiles.open(client)];
      const startedAt = performance.now();
      const copier = new Copier({
        from: plan.direction === "up" ? here : there,
        to: plan.direction === "up" ? there : here,
        recursive: booleanFlag(line.values, "recursive"),
        signal,
        onProgress: progressLine(stages),
        say: sayAboveStage,
      });
      await copier.copy(plan.sources, plan.destination);
      client.end();
      const { files, bytes, resumedBytes } = copier.result;
      const seconds = (performance.now() - startedAt) / 1000;
      if (process.stderr.isTTY === true) {
        const resumed = resumedBytes === 0 ? "" : `, ${size(resumedBytes)} of it were there already`;
        sayAboveStage(
          `${files} ${files === 1 ? "file" : "files"}, ${size(bytes)} in ${seconds.toFixed(1)} s${resumed}`,
        );
      }
    } catch (error) {
      if (signal.aborted) {
        sayAboveStage("Stopped; the same command goes on where this one was");
        throw signal.reason;
      }
      throw error;
    } finally {
      stages.clear();
      watch.stop();
      await connection.close();
    }
    return;
  }
}

function progressLine(stages: StageLine): (progress: CopyProgress) => void {
  let drawnAt = 0;
  let [since, sinceBytes] = [performance.now(), 0];
  let current = "";
  return ({ name, doneBytes, totalBytes }) => {
    const now = performance.now();
    if (name !== current) [current, since, sinceBytes] = [name, now, doneBytes];
    if (now - drawnAt < REDRAW_MS) return;
    drawnAt = now;
    const percent = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
    const perSecond = now > since ? ((doneBytes - sinceBytes) * 1000) / (now - since) : 0;
    stages.set(`${printable(name)} ${percent} % of ${size(totalBytes)}, ${size(perSecond)}/s`);
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
