import type { HealthMessage, HealthSeverity } from "coder-protocol/rest/deployment";

/**
 * Codes of the health report. Those of Coder are kept, because stock dashboards and support tools look them up: EACS access URL,
 * EDB database, EWS WebSocket, EDERP relay, ESTUN STUN, EIF network interface, EWP workspace proxy. Our own are EDB03 to EDB05,
 * EWP03, EWP05, EWILD wildcard access URL, ECOOK cookies, ERPL servers of one deployment. docs/operations/health.md has a section
 * for each.
 */
export const HEALTH_CODES = [
  "EUNKNOWN",
  "EACS02",
  "EACS03",
  "EACS04",
  "EDB01",
  "EDB02",
  "EDB03",
  "EDB04",
  "EDB05",
  "EWS01",
  "EWS02",
  "EWS03",
  "EDERP01",
  "EDERP02",
  "ESTUN01",
  "ESTUN02",
  "EIF01",
  "EWP01",
  "EWP02",
  "EWP03",
  "EWP04",
  "EWP05",
  "EWILD01",
  "EWILD02",
  "EWILD03",
  "ECOOK01",
  "ERPL01",
  "ERPL02",
  "ERPL03",
  "ERPL04",
  "ERPL05",
  "ERPL06",
] as const;
export type HealthCode = (typeof HEALTH_CODES)[number];

/** The fields with which every section of the report begins. */
export interface Section {
  readonly healthy: boolean;
  readonly severity: HealthSeverity;
  readonly warnings: HealthMessage[];
  readonly error?: string | undefined;
  readonly dismissed: boolean;
}

export function message(code: HealthCode, text: string): HealthMessage {
  return { code, message: text };
}

/** A healthy section, apart from the warnings. */
export function works(warnings: HealthMessage[] = []): Section {
  return { healthy: true, severity: warnings.length === 0 ? "ok" : "warning", warnings, dismissed: false };
}

export function fails(code: HealthCode, text: string): Section {
  return { healthy: false, severity: "error", warnings: [], error: `${code}: ${text}`, dismissed: false };
}

export function worst(severities: readonly HealthSeverity[]): HealthSeverity {
  if (severities.includes("error")) return "error";
  return severities.includes("warning") ? "warning" : "ok";
}

/** The message of an error's innermost cause, which is what a person can act on. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : "unknown";
}
