import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import { BaseCommand } from "../base-command.ts";
import { findCauses } from "../diagnosis/causes.ts";
import { formatDuration } from "../diagnosis/durations.ts";
import {
  causeLines,
  type PingOutcome,
  peerBlock,
  pingLine,
  summarize,
  summaryTable,
  timestamp,
  verdictLine,
  verdictOf,
} from "../diagnosis/ping-text.ts";
import { EXIT } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec, numberFlag, UsageError } from "../flags/spec.ts";
import { connectWorkspace } from "../services/connect.ts";
import { openDeployment } from "../services/deployment.ts";
import { collectFacts } from "../services/facts.ts";
import { PATH_FLAGS, pathConnectOptions } from "../services/path-options.ts";
import { pingOnce, runPings } from "../services/ping.ts";
import { watchConnection } from "../services/stop-watch.ts";
import { createLogger } from "../ui/logger.ts";
import { ownJson, printOwnJson } from "../ui/own-json.ts";
import { paintFor } from "../ui/paint.ts";
import { say } from "../ui/say.ts";
import { StageLine } from "../ui/stages.ts";

/** Collecting what may be wrong ends after this, whatever is still missing. */
const DIAGNOSIS_MS = 30_000;
const TROUBLESHOOTING = "More: coder help not-direct";

export const PING_FLAGS: readonly FlagSpec[] = [
  {
    name: "num",
    char: "n",
    kind: "integer",
    default: "0",
    value: "count",
    summary: "Stop after this many pings; 0 goes on until Ctrl-C",
  },
  { name: "wait", kind: "duration", default: "1s", value: "duration", summary: "Time from one ping to the next" },
  {
    name: "timeout",
    char: "t",
    kind: "duration",
    default: "5s",
    value: "duration",
    summary: "How long one ping may take",
  },
  { name: "time", kind: "boolean", summary: "Print the local time before each line" },
  { name: "utc", kind: "boolean", summary: "Print the time in UTC before each line" },
  ...PATH_FLAGS,
  {
    name: "output",
    char: "o",
    kind: "string",
    options: ["table", "json", "jsonl"],
    default: "table",
    summary: "Print lines for people, one JSON document at the end, or a JSON line for every ping as it comes",
  },
];

export default class Ping extends BaseCommand {
  static override summary = "Ping a workspace: which path it takes, how long it needs, and why it is not direct";
  static override description =
    "Says for every answer whether it came directly (p2p) or through a relay (DERP). When it is not direct, the causes on both sides are named with their evidence. A stopped workspace is not started. Exit code 1 when no ping was answered.";
  static override examples = [
    "<%= config.bin %> ping dev",
    "<%= config.bin %> ping -n 5 --time dev",
    "<%= config.bin %> ping -n 1 --output json dev",
    "<%= config.bin %> ping --output jsonl dev",
  ];
  static override specs = PING_FLAGS;
  static override words = [{ name: "workspace", summary: "[owner/]workspace[.agent]", required: true }];

  protected override async execute(line: ParsedLine, cancel: AbortSignal): Promise<number> {
    const options = pingOptions(line);
    // A run without an end has no document at its end.
    const streams = line.values["output"] === "jsonl" || (line.values["output"] === "json" && options.count === 0);
    const json = streams || line.values["output"] === "json";
    const verbose = booleanFlag(line.values, "verbose");
    const stages = new StageLine();
    const deployment = openDeployment(line.values);
    const logger = createLogger({ verbose, logDir: undefined });
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
      if (!json && !verbose) stages.set("Collecting diagnostics");
      const silent = await pingOnce(connection, options.timeoutMs, signal);
      const wasDirect = silent?.ok === true && silent.pong.path.kind === "direct";
      const limit = AbortSignal.any([signal, AbortSignal.timeout(DIAGNOSIS_MS)]);
      const causes = findCauses(await collectFacts(connection, limit, options.timeoutMs));
      stages.clear();
      if (!json) {
        for (const text of peerBlock(connection.pathReport(), paintFor(process.stderr))) say(text);
        const worth = wasDirect && !verbose ? causes.filter(({ severity }) => severity === "slows") : causes;
        const lines = causeLines(worth, verbose, paintFor(process.stderr));
        if (lines.length > 0) for (const text of ["", ...lines]) say(text);
        say("");
      }
      let relayedBefore = false;
      let told = false;
      const outcomes = await runPings({
        target: connection,
        ...options,
        signal,
        onOutcome: (outcome) => {
          if (streams) process.stdout.write(`${ownJson({ type: "ping", ...pingDocument(outcome) })}\n`);
          if (json) return;
          const stamp = options.stamp === undefined ? "" : timestamp(outcome.atUnixMs, options.stamp === "utc");
          const direct = outcome.ok && outcome.pong.path.kind === "direct";
          if (direct && relayedBefore && !told) {
            told = true;
            const after = connection.pathReport().timeToDirectMs ?? 0;
            process.stdout.write(`p2p connection established in ${formatDuration(Math.round(after))}\n`);
          }
          relayedBefore ||= outcome.ok && !direct;
          process.stdout.write(`${stamp}${pingLine(workspace.name, outcome, paintFor(process.stdout))}\n`);
        },
      });
      if (json) {
        const pings = streams ? {} : { pings: outcomes.map(pingDocument) };
        const document = conclusion(outcomes, workspace.name, connection.pathReport(), causes);
        if (streams) process.stdout.write(`${ownJson({ type: "summary", ...document })}\n`);
        else printOwnJson({ ...pings, ...document });
      } else {
        process.stderr.write(`${verdictLine(outcomes, TROUBLESHOOTING, paintFor(process.stderr))}\n`);
        process.stdout.write(summaryTable(workspace.name, summarize(outcomes)));
      }
      watch.throwIfOver();
      return outcomes.some(({ ok }) => ok) || (outcomes.length === 0 && silent?.ok === true) ? EXIT.ok : EXIT.failure;
    } finally {
      stages.clear();
      watch.stop();
      await connection.close();
    }
  }
}

function pingDocument(outcome: PingOutcome): object {
  const at = new Date(outcome.atUnixMs).toISOString();
  return outcome.ok
    ? { ok: true, at, rttMs: outcome.pong.rttMs, path: outcome.pong.path }
    : { ok: false, at, timedOut: outcome.timedOut, error: outcome.error };
}

function conclusion(
  outcomes: readonly PingOutcome[],
  workspace: string,
  peer: ReturnType<WorkspaceConnection["pathReport"]>,
  causes: ReturnType<typeof findCauses>,
): object {
  const { timeToDirectMs } = peer;
  return {
    workspace,
    summary: summarize(outcomes),
    verdict: verdictOf(outcomes),
    ...(timeToDirectMs === undefined ? {} : { timeToDirectMs }),
    peer,
    causes,
  };
}

function pingOptions(line: ParsedLine) {
  const count = numberFlag(line.values, "num") ?? 0;
  if (count < 0) throw new UsageError(`--num is ${count}; it takes 0 or more`);
  const timeoutMs = numberFlag(line.values, "timeout") ?? 5_000;
  if (timeoutMs <= 0) throw new UsageError("--timeout takes more than 0");
  const utc = booleanFlag(line.values, "utc");
  return {
    count,
    everyMs: numberFlag(line.values, "wait") ?? 1_000,
    timeoutMs,
    stamp: utc ? ("utc" as const) : booleanFlag(line.values, "time") ? ("local" as const) : undefined,
  };
}
