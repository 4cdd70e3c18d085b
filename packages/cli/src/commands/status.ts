import { sleep } from "coder-client/base/backoff";
import { BaseCommand } from "../base-command.ts";
import { connectionsTable, type View, workspaceStatus } from "../diagnosis/status-text.ts";
import { EXIT } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag } from "../flags/spec.ts";
import { connectWorkspace } from "../services/connect.ts";
import { configDirOf, openDeployment } from "../services/deployment.ts";
import { openConnections } from "../services/open-connections.ts";
import { PATH_FLAGS, pathConnectOptions } from "../services/path-options.ts";
import { pingOnce } from "../services/ping.ts";
import { watchConnection } from "../services/stop-watch.ts";
import { LiveScreen } from "../ui/live-screen.ts";
import { createLogger } from "../ui/logger.ts";
import { OUTPUT_FLAGS } from "../ui/output.ts";
import { printOwnJson } from "../ui/own-json.ts";
import { paintFor } from "../ui/paint.ts";
import { StageLine } from "../ui/stages.ts";
import { displayWidth } from "../ui/text.ts";

const EVERY_MS = 1_000;
/** Printed once, the search for paths gets this long first. */
const SETTLE_MS = 3_000;

export default class Status extends BaseCommand {
  static override summary = "Show the paths of open connections, or every path to one workspace";
  static override description =
    "Without a workspace: the connections of this machine. With one: connects, and shows each address of the workspace with its round trip, loss and packet size, and why it is used or not. On a terminal the view is live until Ctrl-C; otherwise, and with --output json, it is printed once.";
  static override examples = [
    "<%= config.bin %> status",
    "<%= config.bin %> status dev",
    "<%= config.bin %> status --output json",
  ];
  static override specs = [...PATH_FLAGS, ...OUTPUT_FLAGS.filter((flag) => flag.name === "output")];
  static override words = [{ name: "workspace", summary: "[owner/]workspace[.agent]" }];

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const json = line.values["output"] === "json";
    const live = !json && process.stdout.isTTY === true;
    return line.words[0] === undefined
      ? await this.#machine(configDirOf(line.values), json, live, signal)
      : await this.#workspace(line, json, live, signal);
  }

  async #machine(configDir: string, json: boolean, live: boolean, signal: AbortSignal): Promise<number> {
    if (json) printOwnJson(openConnections(configDir));
    else if (live)
      await this.#watch("Connections of this machine", signal, () =>
        connectionsTable(openConnections(configDir), Date.now(), view()),
      );
    else process.stdout.write(connectionsTable(openConnections(configDir), Date.now(), view()));
    return EXIT.ok;
  }

  async #workspace(line: ParsedLine, json: boolean, live: boolean, cancel: AbortSignal): Promise<number> {
    const stages = new StageLine();
    const deployment = openDeployment(line.values);
    const logger = createLogger({ verbose: booleanFlag(line.values, "verbose"), logDir: undefined });
    const { connection, workspace } = await connectWorkspace({
      ...pathConnectOptions(line),
      deployment,
      signal: cancel,
      logger,
      onStage: (text) => stages.set(text),
    }).finally(() => stages.clear());
    const watch = watchConnection({ deployment, workspace, connection, signal: cancel, logger });
    const { signal } = watch;
    try {
      if (live) {
        await this.#watch(`Paths to ${workspace.ownerName}/${workspace.name}`, signal, () => {
          // A path that nobody uses is not watched: the ping keeps it in use.
          void pingOnce(connection, EVERY_MS, signal);
          return workspaceStatus(connection.pathReport(), view());
        });
        watch.throwIfOver();
        return EXIT.ok;
      }
      await pingOnce(connection, SETTLE_MS, signal);
      await sleep(SETTLE_MS, signal);
      if (json) printOwnJson(connection.pathReport());
      else process.stdout.write(workspaceStatus(connection.pathReport(), view()));
      return EXIT.ok;
    } finally {
      watch.stop();
      await connection.close();
    }
  }

  async #watch(title: string, signal: AbortSignal, render: () => string): Promise<void> {
    using screen = new LiveScreen(process.stdout);
    while (!signal.aborted) {
      const { columns, paint } = view();
      const now = new Date().toLocaleTimeString("en-GB");
      const hint = `${now}, Ctrl-C to quit`;
      const gap = columns - displayWidth(title) - displayWidth(hint);
      const head = gap < 2 ? [title, paint.faint(hint)] : [paint.keyword(title) + " ".repeat(gap) + paint.faint(hint)];
      screen.draw([...head, "", render()].join("\n"));
      await sleep(EVERY_MS, signal).catch(() => undefined); // Ctrl-C is the way to end it
    }
  }
}

/** A pipe is as wide as it needs to be for every column. */
function view(): View {
  return { columns: process.stdout.columns ?? Number.POSITIVE_INFINITY, paint: paintFor(process.stdout) };
}
