/** The form in which a server stores its report for the others: problems without measurements. */
import {
  type HealthMessage,
  type HealthSeverity,
  type StoredHealthReport,
  storedHealthReport,
} from "coder-protocol/rest/deployment";
import { MAX_REPORT_LENGTH } from "../db/replica-health.ts";

const MAX_WARNINGS = 8;
const MAX_TEXT = 1_024;

interface AnySection {
  readonly healthy: boolean;
  readonly severity: HealthSeverity;
  readonly warnings: readonly HealthMessage[];
  readonly error?: string | undefined;
}

/** @param sections By name; there are as many as a report has. */
export function storedReport(
  facts: Pick<StoredHealthReport, "time" | "healthy" | "severity" | "coder_version">,
  sections: Readonly<Record<string, AnySection>>,
): StoredHealthReport {
  const short = (section: AnySection): StoredHealthReport["sections"][string] => ({
    healthy: section.healthy,
    severity: section.severity,
    warnings: section.warnings
      .slice(0, MAX_WARNINGS)
      .map(({ code, message }) => ({ code, message: message.slice(0, MAX_TEXT) })),
    error: section.error?.slice(0, MAX_TEXT),
  });
  return {
    ...facts,
    sections: Object.fromEntries(Object.entries(sections).map(([name, section]) => [name, short(section)])),
  };
}

/** JSON of at most MAX_REPORT_LENGTH; if the report is longer, texts are omitted until it fits. */
export function encodeReport(report: StoredHealthReport): string {
  for (let kept = MAX_WARNINGS; kept >= 0; kept--) {
    const sections = Object.entries(report.sections).map(([name, section]) => [
      name,
      { ...section, warnings: section.warnings.slice(0, kept) },
    ]);
    const text = JSON.stringify({ ...report, sections: Object.fromEntries(sections) });
    if (text.length <= MAX_REPORT_LENGTH) return text;
  }
  return JSON.stringify({ ...report, sections: {} });
}

/** Undefined for a text that no server writes. A row is only as trustworthy as the server that wrote it. */
export function parseReport(text: string | undefined): StoredHealthReport | undefined {
  if (text === undefined) return undefined;
  try {
    return storedHealthReport.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined; // not JSON: the caller counts it
  }
}
