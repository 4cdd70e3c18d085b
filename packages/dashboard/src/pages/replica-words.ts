/** Texts about the servers of a deployment. */
import type { ReplicaHealth } from "coder-protocol/rest/deployment";
import { findingsOfSection } from "./health-findings.ts";

/** The id of a server as logs, metrics and the header X-Coder-Replica show it. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

export function wordsOf({ report, severity }: Pick<ReplicaHealth, "report" | "severity">): string {
  if (report === null) return "No report yet";
  return { ok: "Healthy", warning: "Warning", error: "Failing" }[severity];
}

/** What a server reports as wrong with itself, errors first, one per line. */
export function findingsOf({ report }: Pick<ReplicaHealth, "report">): string[] {
  const sections = Object.values(report?.sections ?? {});
  const all = sections.flatMap(findingsOfSection);
  const sorted = [...all.filter(({ isError }) => isError), ...all.filter(({ isError }) => !isError)];
  return [...new Set(sorted.map(({ code, message }) => (code === "" ? message : `${code}: ${message}`)))];
}
