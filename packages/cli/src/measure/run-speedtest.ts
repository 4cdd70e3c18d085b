/** The work of `coder speedtest`. */
import { sleep } from "coder-client/base/backoff";
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import { SPEEDTEST_PORT } from "coder-protocol/tunnel-ports";
import type { ConnectRequest } from "../connection/connect.ts";
import { openWatched } from "../connection/watched-connection.ts";
import { progressLine, speedtestColumns, speedtestJson, speedtestTable } from "../diagnosis/speedtest-text.ts";
import { EXIT, UserError } from "../errors/user-error.ts";
import type { DeploymentOptions } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { jsonText } from "../ui/output.ts";
import { ProgressLine } from "../ui/progress-line.ts";
import { PacketCapture } from "./packet-capture.ts";
import { pingOnce } from "./ping.ts";
import { runSpeedtest as measure } from "./speedtest.ts";

const PING_TIMEOUT_MS = 5_000;
const LOOK_EVERY_MS = 1_000;
/** After this long, a hint tells the user how to find out why no direct path was found yet. */
const HINT_AFTER_MS = 15_000;

export interface SpeedtestOptions {
  readonly deployment: DeploymentOptions;
  readonly connect: Pick<ConnectRequest, "name" | "wait" | "timeoutMs" | "disableDirect" | "region">;
  readonly verbose: boolean;
  readonly durationMs: number;
  readonly direction: "up" | "down";
  /** Wait for a direct path first. */
  readonly direct: boolean;
  /** File for the packets inside the tunnel. */
  readonly pcapFile: string | undefined;
  readonly columns: readonly string[];
  readonly json: boolean;
}

export async function runSpeedtest(options: SpeedtestOptions, display: Display, cancel: AbortSignal): Promise<number> {
  const { print, say } = display;
  const { deployment, connect, verbose, direct, direction, durationMs, pcapFile } = options;
  const columns = speedtestColumns(options.columns);
  const capture = pcapFile === undefined ? undefined : await PacketCapture.create(pcapFile);
  try {
    await using watched = await openWatched({ ...connect, deployment, verbose }, display, cancel);
    const { connection, workspace, signal } = watched;
    if (capture !== undefined) connection.tapPackets((bytes, offset, length) => capture.add(bytes, offset, length));
    if (direct && connection.pathReport().directBlocked === "deployment") {
      throw new UserError("The connection cannot become direct", {
        why: "the deployment allows no direct connections",
        next: ["run it without --direct to measure the way through the relay"],
        code: "ERR_DIRECT_DISABLED",
      });
    }
    await sayPath(connection, { direct, workspace: workspace.name, signal, say });
    say(`Starting a ${durationMs / 1000}s ${direction === "down" ? "download" : "upload"} test…`);
    const stream = await connection.dial(SPEEDTEST_PORT, { signal });
    const progress = new ProgressLine(display.sayLive);
    const result = await measure({
      stream,
      durationMs,
      direction,
      signal,
      onInterval: (interval) => progress.set(progressLine(interval, durationMs, connection.describePath())),
    }).finally(() => {
      progress.clear();
      watched.stopWatching();
    });
    watched.throwIfOver();
    print(options.json ? jsonText(speedtestJson(result)) : speedtestTable(result, columns));
    return EXIT.ok;
  } finally {
    const warning = await capture?.close();
    if (warning !== undefined) say(`warning: ${warning}`);
  }
}

interface PathWait {
  readonly direct: boolean;
  readonly workspace: string;
  readonly signal: AbortSignal;
  readonly say: Display["say"];
}

/** Prints one line with latency and path; with `direct`, one each second until the path is direct. */
async function sayPath(connection: WorkspaceConnection, { direct, workspace, signal, say }: PathWait): Promise<void> {
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
      if (!direct) return; // the test itself shows whether data gets through
    }
    if (!hinted && performance.now() - started > HINT_AFTER_MS) {
      hinted = true;
      say(`Still relayed: coder ping ${workspace} says why; Ctrl-C ends the waiting`);
    }
    await sleep(Math.max(0, LOOK_EVERY_MS - (performance.now() - asked)), signal);
  }
}
