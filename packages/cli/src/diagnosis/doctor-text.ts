/** What `coder doctor` prints. Pure. */

import { formatDuration } from "coder-client/diagnosis/durations";
import type { Cause } from "coder-client/diagnosis/facts";
import type { PeerPathReport } from "coder-client/node/path-report";

export function pathSentence({ path, candidates, relayRttMs }: PeerPathReport): string {
  if (path === undefined) return "There is no way to the workspace at present.";
  if (path.kind === "direct") {
    const inUse = candidates.find(({ endpoint }) => endpoint === path.endpoint);
    return `The connection is direct, to ${path.endpoint}${inUse?.rttMs === undefined ? "" : `, ${formatDuration(inUse.rttMs)} there and back`}.`;
  }
  const rtt = relayRttMs === undefined ? "" : `, ${formatDuration(relayRttMs)} there and back`;
  return `The connection is relayed through "${path.region.name}"${rtt}.`;
}

/** A numbered list of causes: each with its evidence and who must change what. */
export function doctorLines(report: PeerPathReport, causes: readonly Cause[]): string[] {
  const lines = [pathSentence(report)];
  const problems = causes.filter(({ severity }) => severity !== "note");
  if (problems.length === 0) {
    lines.push(
      report.path?.kind === "direct"
        ? "No problem can be seen from here."
        : "No cause was found; the search for a direct path goes on while a session runs.",
    );
  }
  causes.forEach((cause, index) => {
    lines.push("", `${index + 1}. ${cause.what}`);
    for (const evidence of cause.evidence) lines.push(`   Seen: ${evidence}`);
    lines.push(`   Who: ${cause.side}`, `   Fix: ${cause.fix}`, `   More: ${cause.link}`);
  });
  return lines;
}

/** Healthy means direct, with nothing that blocks or slows the path. */
export function isHealthy(report: PeerPathReport, causes: readonly Cause[]): boolean {
  return report.path?.kind === "direct" && causes.every(({ severity }) => severity === "note");
}
