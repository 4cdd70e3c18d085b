/** What `coder ping` prints, line by line. Pure. */

import { formatDuration } from "coder-client/diagnosis/durations";
import type { Cause } from "coder-client/diagnosis/facts";
import type { DiscoPong, PeerPathReport } from "coder-client/node/path-report";
import { printable } from "../base/text.ts";
import { type Paint, PLAIN } from "../ui/paint.ts";
import { renderTable } from "../ui/table.ts";

/** An older handshake deserves a warning. */
const OLD_HANDSHAKE_MS = 5 * 60_000;

/** The outcome of one ping. */
export type PingOutcome =
  | { readonly ok: true; readonly atUnixMs: number; readonly pong: DiscoPong }
  | { readonly ok: false; readonly atUnixMs: number; readonly timedOut: boolean; readonly error: string };

export function timestamp(atUnixMs: number, utc: boolean): string {
  const date = new Date(atUnixMs);
  if (utc) return `[${date.toISOString().replace(/\.\d{3}Z$/, "Z")}] `;
  const minutes = -date.getTimezoneOffset();
  const local = new Date(atUnixMs + minutes * 60_000).toISOString().replace(/\.\d{3}Z$/, "");
  const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
  const zone =
    minutes === 0 ? "Z" : `${minutes < 0 ? "-" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
  return `[${local}${zone}] `;
}

export function pingLine(workspace: string, outcome: PingOutcome, paint: Paint = PLAIN): string {
  if (!outcome.ok) {
    return outcome.timedOut
      ? `ping to "${workspace}" timed out`
      : `ping to "${workspace}" failed: ${printable(outcome.error)}`;
  }
  const { path, rttMs } = outcome.pong;
  const way =
    path.kind === "direct"
      ? `${paint.good("p2p")} via ${paint.keyword(path.endpoint)}`
      : `${paint.bad("proxied")} via ${paint.keyword(printable(`DERP(${path.region.name})`))}`;
  return `pong from ${paint.keyword(workspace)} ${way} in ${paint.keyword(`${Math.round(rttMs)}ms`)}`;
}

/** Five facts about both ends, each with a tick, a cross or a warning. */
export function peerBlock(report: PeerPathReport, paint: Paint = PLAIN): string[] {
  const yes = (text: string): string => `${paint.good("✔")} ${text}`;
  const no = (text: string): string => `${paint.bad("✘")} ${text}`;
  const lines: string[] = [];
  const { ownRegion, peerRegion, lastHandshakeAgeMs } = report;
  lines.push(
    ownRegion === undefined
      ? no("not connected to a relay (DERP)")
      : yes(printable(`preferred DERP region: ${ownRegion.id} (${ownRegion.name})`)),
  );
  lines.push(
    report.sentNode ? yes("sent local data to the coordinator") : no("have not sent local data to the coordinator"),
  );
  if (!report.receivedNode) lines.push(no("have not received the agent's data from the coordinator"));
  else {
    lines.push(yes("received the agent's data from the coordinator"));
    lines.push(
      printable(
        `    preferred DERP region: ${peerRegion === undefined ? "none" : `${peerRegion.id} (${peerRegion.name})`}`,
      ),
    );
    lines.push(`    endpoints: ${report.peerEndpoints.length === 0 ? "none" : report.peerEndpoints.join(", ")}`);
  }
  if (lastHandshakeAgeMs === undefined) lines.push(no("no WireGuard handshake yet"));
  else {
    const age = `WireGuard handshake ${Math.round(lastHandshakeAgeMs / 1000)}s ago`;
    lines.push(lastHandshakeAgeMs > OLD_HANDSHAKE_MS ? `${paint.bad("⚠")} ${age}` : yes(age));
  }
  return lines;
}

/**
 * Causes by group. With `everything`, also those of a direct connection and those that follow a general cause which already
 * explains the result.
 */
export function causeLines(causes: readonly Cause[], everything: boolean, paint: Paint = PLAIN): string[] {
  const lines: string[] = [];
  const general = causes.filter(({ scope }) => scope === "general");
  for (const cause of general) lines.push(`${paint.bad("❗")} ${cause.what}`, ...details(cause, "   "));
  const settled = general.some(({ code }) => code === "direct-disabled" || code === "direct-blocked");
  if (settled && !everything) return lines;
  for (const [scope, heading] of [
    ["client", "Possible client-side issues with direct connection:"],
    ["agent", "Possible agent-side issues with direct connection:"],
  ] as const) {
    const group = causes.filter((cause) => cause.scope === scope);
    if (group.length === 0) continue;
    if (lines.length > 0) lines.push("");
    lines.push(heading);
    for (const cause of group) lines.push(` - ${cause.what}`, ...details(cause, "   "));
  }
  return lines;
}

function details(cause: Cause, indent: string): string[] {
  return [
    ...cause.evidence.map((one) => `${indent}${one}`),
    `${indent}Fix (${cause.side}): ${cause.fix}`,
    `${indent}${cause.link}`,
  ];
}

export interface PingSummary {
  readonly total: number;
  readonly successful: number;
  readonly minMs?: number;
  readonly avgMs?: number;
  readonly maxMs?: number;
  /** In square milliseconds; absent with fewer than two answers. */
  readonly varianceMs2?: number | undefined;
}

export function summarize(outcomes: readonly PingOutcome[]): PingSummary {
  const rtts = outcomes.flatMap((outcome) => (outcome.ok ? [outcome.pong.rttMs] : []));
  if (rtts.length === 0) return { total: outcomes.length, successful: 0 };
  const avgMs = rtts.reduce((sum, rtt) => sum + rtt, 0) / rtts.length;
  const spread = rtts.reduce((sum, rtt) => sum + (rtt - avgMs) ** 2, 0);
  return {
    total: outcomes.length,
    successful: rtts.length,
    minMs: Math.min(...rtts),
    avgMs,
    maxMs: Math.max(...rtts),
    varianceMs2: rtts.length < 2 ? undefined : spread / (rtts.length - 1),
  };
}

export function summaryTable(workspace: string, summary: PingSummary): string {
  const duration = (ms: number | undefined): string => (ms === undefined ? "" : formatDuration(ms));
  const variance = summary.varianceMs2 === undefined ? "" : `${Number(summary.varianceMs2.toPrecision(3))}ms²`;
  const table = renderTable(
    ["WORKSPACE", "TOTAL", "SUCCESSFUL", "MIN", "AVG", "MAX", "VARIANCE"],
    [
      [
        workspace,
        String(summary.total),
        String(summary.successful),
        duration(summary.minMs),
        duration(summary.avgMs),
        duration(summary.maxMs),
        variance,
      ],
    ],
  );
  return `${"-".repeat(Math.max(...table.split("\n").map((line) => line.length)))}\n${table}`;
}

export type Verdict = "direct" | "relayed" | "unreachable";

/** Taken from the last answer; without any answer the workspace is unreachable. */
export function verdictOf(outcomes: readonly PingOutcome[]): Verdict {
  const last = outcomes.findLast((outcome) => outcome.ok);
  if (last === undefined || !last.ok) return "unreachable";
  return last.pong.path.kind === "direct" ? "direct" : "relayed";
}

const PRIVATE = /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|127\.|\[f[cd]|\[::1\])/i;

export function verdictLine(outcomes: readonly PingOutcome[], link: string, paint: Paint = PLAIN): string {
  const verdict = verdictOf(outcomes);
  if (verdict === "unreachable") return `${paint.bad("✘")} The workspace did not answer.`;
  if (verdict === "relayed") {
    return `${paint.bad("❗")} You are connected via a DERP relay, not directly (p2p). ${link}`;
  }
  const last = outcomes.findLast((outcome) => outcome.ok);
  const endpoint = last?.ok === true && last.pong.path.kind === "direct" ? last.pong.path.endpoint : "";
  const note = PRIVATE.test(endpoint) ? " (the address is private: both ends are on one network)" : "";
  return `${paint.good("✔")} You are connected directly (p2p)${note}.`;
}
