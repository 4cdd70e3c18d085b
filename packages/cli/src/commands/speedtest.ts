import { sleep } from "coder-client/base/backoff";
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import { SPEEDTEST_PORT } from "coder-protocol/tunnel-ports";
import { BaseCommand } from "../base-command.ts";
import { progressLine, speedtestColumns, speedtestJson, speedtestTable } from "../diagnosis/speedtest-text.ts";
import { EXIT, UserError } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec, listFlag, numberFlag, stringFlag, UsageError } from "../flags/spec.ts";
import { connectWorkspace } from "../services/connect.ts";
import { openDeployment } from "../services/deployment.ts";
import { PacketCapture } from "../services/packet-capture.ts";
import { PATH_FLAGS, pathConnectOptions } from "../services/path-options.ts";
import { pingOnce } from "../services/ping.ts";
import { runSpeedtest } from "../services/speedtest.ts";
import { watchConnection } from "../services/stop-watch.ts";
import { createLogger } from "../ui/logger.ts";
import { OUTPUT_FLAGS, printJson } from "../ui/output.ts";
import { StageLine } from "../ui/stages.ts";

const MIN_MS = 1_000;
const MAX_MS = 30_000;
const PING_TIMEOUT_MS = 5_000;
const LOOK_EVERY_MS = 1_000;
/** Waiting for a direct path goes on, but by now it is worth asking why. */
const HINT_AFTER_MS = 15_000;

const SPEEDTEST_FLAGS: readonly FlagSpec[] = [
  {
    name: "time",
    char: "t",
    kind: "duration",
    default: "5s",
    value: "duration",
    summary: "How long the test sends data: 1s to 30s",
  },
  {
    name: "direction",
    kind: "string",
    options: ["up", "down"],
    default: "down",
    summary: "Whether this machine receives (down) or sends (up)",
  },
  {
    name: "direct",
    char: "d",
    kind: "boolean",
    summary: "Wait until the connection is direct, then start",
  },
  {
    name: "pcap-file",
    kind: "string",
    value: "file",
    summary: "Write the packets inside the tunnel to this file, for Wireshark; an old one is replaced",
  },
  ...PATH_FLAGS,
  ...OUTPUT_FLAGS,
];

export default class Speedtest extends BaseCommand {
  static override summary = "Measure how fast data goes to or comes from a workspace";
  static override description =
    "Sends random data through the tunnel in one direction and prints the throughput of every second and of the whole test. A stopped workspace is not started. Give --direct to measure the direct path: otherwise the test starts on the path there is.";
  static override examples = [
    "<%= config.bin %> speedtest dev",
    "<%= config.bin %> speedtest --direct --direction up -t 10s dev",
    "<%= config.bin %> speedtest --output json dev",
  ];
  static override specs = SPEEDTEST_FLAGS;
  static override words = [{ name: "workspace", summary: "[owner/]workspace[.agent]", required: true }];

  protected override async execute(line: ParsedLine, cancel: AbortSignal): Promise<number> {
    const durationMs = numberFlag(line.values, "time") ?? 5_000;
    if (durationMs < MIN_MS || durationMs > MAX_MS)
      throw new UsageError(
        `--time is ${durationMs / 1000} seconds; it takes ${MIN_MS / 1000} to ${MAX_MS / 1000} seconds`,
      );
    const direct = booleanFlag(line.values, "direct");
    if (direct && booleanFlag(line.values, "disable-direct-connections"))
      throw new UsageError("--direct and --disable-direct-connections exclude each other");
    const columns = speedtestColumns(listFlag(line.values, "column"));
    const direction = line.values["direction"] === "up" ? "up" : "down";
    const pcapFile = stringFlag(line.values, "pcap-file");
    const capture = pcapFile === undefined ? undefined : await PacketCapture.create(pcapFile);
    const stages = new StageLine();
    try {
      const deployment = openDeployment(line.values);
      const logger = createLogger({ verbose: booleanFlag(line.values, "verbose"), logDir: undefined });
      const { connection, workspace } = await connectWorkspace({
        ...pathConnectOptions(line),
        deployment,
        signal: cancel,
        logger,
        onStage: (text) => stages.set(text),
      }).finally(() => stages.clear());
      await using _closing = connection;
      const watch = watchConnection({ deployment, workspace, connection, signal: cancel, logger });
      const { signal } = watch;
      if (capture !== undefined) connection.tapPackets((bytes, offset, length) => capture.add(bytes, offset, length));
      if (direct && connection.pathReport().directBlocked === "deployment") {
        throw new UserError("The connection cannot become direct", {
          why: "the deployment allows no direct connections",
          next: ["run it without --direct to measure the way through the relay"],
          code: "ERR_DIRECT_DISABLED",
        });
      }
      await tellPath(connection, { direct, workspace: workspace.name, signal });
      const word = direction === "down" ? "download" : "upload";
      say(`Starting a ${durationMs / 1000}s ${word} test…`);
      const stream = await connection.dial(SPEEDTEST_PORT, { signal });
      const progress = new ProgressLine();
      const result = await runSpeedtest({
        stream,
        durationMs,
        direction,
        signal,
        onInterval: (interval) => progress.set(progressLine(interval, durationMs, connection.describePath())),
      }).finally(() => {
        progress.clear();
        watch.stop();
      });
      watch.throwIfOver();
      if (line.values["output"] === "json") printJson(speedtestJson(result));
      else process.stdout.write(speedtestTable(result, columns));
      return EXIT.ok;
    } finally {
      const warning = await capture?.close();
      if (warning !== undefined) say(`warning: ${warning}`);
    }
  }
}

/** One line with latency and path; with `direct` one a second until the path is direct. */
async function tellPath(
  connection: WorkspaceConnection,
  { direct, workspace, signal }: { direct: boolean; workspace: string; signal: AbortSignal },
): Promise<void> {
  const started = performance.now();
  let hinted = false;
  for (;;) {
    const asked = performance.now();
    const outcome = await pingOnce(connection, PING_TIMEOUT_MS, signal);
    signal.throwIfAborted();
    if (outcome?.ok === true) {
      const { rttMs, path } = outcome.pong;
      const latency = `${Math.max(1, Math.round(rttMs))}ms`;
      const via = path.kind === "direct" ? "direct" : path.region.name;
      if (!direct || path.kind === "direct") {
        say(`${latency} via ${via}`);
        return;
      }
      say(`Waiting for a direct connection... (${latency} via ${via})`);
    } else {
      say(outcome === undefined || outcome.timedOut ? "No answer to a ping" : `No answer to a ping: ${outcome.error}`);
      if (!direct) return; // the test itself shows whether data goes through
    }
    if (!hinted && performance.now() - started > HINT_AFTER_MS) {
      hinted = true;
      say(`Still relayed: coder ping ${workspace} says why; Ctrl-C ends the waiting`);
    }
    await sleep(Math.max(0, LOOK_EVERY_MS - (performance.now() - asked)), signal);
  }
}

/** Rewritten in place; nothing where stderr is no terminal. */
class ProgressLine {
  #shown = false;

  set(text: string): void {
    if (process.stderr.isTTY !== true) return;
    this.#shown = true;
    const columns = process.stderr.columns ?? 80;
    process.stderr.write(`\r\u001b[K${[...text].slice(0, columns - 1).join("")}`);
  }

  clear(): void {
    if (this.#shown) process.stderr.write("\r\u001b[K");
    this.#shown = false;
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
