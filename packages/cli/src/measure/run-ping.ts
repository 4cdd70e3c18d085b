/** The work of `coder ping`. */
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import { findCauses } from "coder-client/diagnosis/causes";
import { formatDuration } from "coder-client/diagnosis/durations";
import type { Cause } from "coder-client/diagnosis/facts";
import type { ConnectRequest } from "../connection/connect.ts";
import { openWatched } from "../connection/watched-connection.ts";
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
import type { DeploymentOptions } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { ownJson } from "../ui/own-json.ts";
import { collectFacts } from "./gather-facts.ts";
import { pingOnce, runPings } from "./ping.ts";

/** Limit for collecting what may be wrong. */
const DIAGNOSIS_MS = 30_000;
const TROUBLESHOOTING = "More: coder help not-direct";

export interface PingOptions {
  readonly deployment: DeploymentOptions;
  readonly connect: Pick<ConnectRequest, "name" | "wait" | "timeoutMs" | "disableDirect" | "region">;
  readonly verbose: boolean;
  /** 0 means until it is stopped. */
  readonly count: number;
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** Whether each line starts with the time. */
  readonly stamp: "local" | "utc" | undefined;
  readonly output: "table" | "json" | "jsonl";
}

/** Exits with 0 when at least one ping was answered. */
export async function runPing(options: PingOptions, display: Display, cancel: AbortSignal): Promise<number> {
  const { print, stages, sayPaint, sayPainted } = display;
  const { verbose, output } = options;
  // A run without an end cannot print one document at its end.
  const streams = output === "jsonl" || (output === "json" && options.count === 0);
  const json = streams || output === "json";
  const { connect, deployment } = options;
  await using watched = await openWatched({ ...connect, deployment, verbose }, display, cancel);
  const { connection, workspace, signal } = watched;
  try {
    if (!json && !verbose) stages.set("Collecting diagnostics");
    const silent = await pingOnce(connection, options.timeoutMs, signal);
    const wasDirect = silent?.ok === true && silent.pong.path.kind === "direct";
    const limit = AbortSignal.any([signal, AbortSignal.timeout(DIAGNOSIS_MS)]);
    const causes = findCauses(await collectFacts(connection, limit, options.timeoutMs));
    stages.clear();
    if (!json) sayDiagnosis(connection, causes, { wasDirect, verbose }, display);
    const printOutcome = outcomePrinter(connection, workspace.name, options.stamp, display);
    const outcomes = await runPings({
      target: connection,
      ...options,
      signal,
      onOutcome: (outcome) => {
        if (streams) print(`${ownJson({ type: "ping", ...pingDocument(outcome) })}\n`);
        if (!json) printOutcome(outcome);
      },
    });
    if (json) {
      const document = conclusion(outcomes, workspace.name, connection.pathReport(), causes);
      if (streams) print(`${ownJson({ type: "summary", ...document })}\n`);
      else print(`${ownJson({ pings: outcomes.map(pingDocument), ...document }, 2)}\n`);
    } else {
      sayPainted(verdictLine(outcomes, TROUBLESHOOTING, sayPaint));
      print(summaryTable(workspace.name, summarize(outcomes)));
    }
    watched.throwIfOver();
    return outcomes.some(({ ok }) => ok) || (outcomes.length === 0 && silent?.ok === true) ? EXIT.ok : EXIT.failure;
  } finally {
    stages.clear();
  }
}

function sayDiagnosis(
  connection: WorkspaceConnection,
  causes: readonly Cause[],
  { wasDirect, verbose }: { readonly wasDirect: boolean; readonly verbose: boolean },
  { sayPaint, sayPainted: say }: Display,
): void {
  for (const text of peerBlock(connection.pathReport(), sayPaint)) say(text);
  const worth = wasDirect && !verbose ? causes.filter(({ severity }) => severity === "slows") : causes;
  const lines = causeLines(worth, verbose, sayPaint);
  if (lines.length > 0) for (const text of ["", ...lines]) say(text);
  say("");
}

/** Prints a line for each outcome, and one when the path becomes direct. */
function outcomePrinter(
  connection: WorkspaceConnection,
  workspace: string,
  stamp: PingOptions["stamp"],
  { print, paint }: Display,
): (outcome: PingOutcome) => void {
  let relayedBefore = false;
  let reported = false;
  return (outcome) => {
    const direct = outcome.ok && outcome.pong.path.kind === "direct";
    if (direct && relayedBefore && !reported) {
      reported = true;
      const after = connection.pathReport().timeToDirectMs ?? 0;
      print(`p2p connection established in ${formatDuration(Math.round(after))}\n`);
    }
    relayedBefore ||= outcome.ok && !direct;
    const time = stamp === undefined ? "" : timestamp(outcome.atUnixMs, stamp === "utc");
    print(`${time}${pingLine(workspace, outcome, paint)}\n`);
  };
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
  causes: readonly Cause[],
): object {
  const { timeToDirectMs } = peer;
  return {
    workspace,
    summary: summarize(outcomes),
    verdict: verdictOf(outcomes),
    timeToDirectMs,
    peer,
    causes,
  };
}
