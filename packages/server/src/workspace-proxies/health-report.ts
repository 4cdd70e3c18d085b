/** One check of a proxy: requests the report at its address. */
import { proxyHealthReport } from "coder-protocol/rest/workspace-proxies";
import { dialerToOthers, fetchText } from "../base/outgoing.ts";
import { withoutNul } from "../base/text.ts";
import { BodyTooLong } from "../base/text-of.ts";
import type { Observation } from "./health-state.ts";

const TIMEOUT_MS = 5_000;
const MAX_REPORT_BYTES = 64 * 1024;
const MAX_LINES = 16;
const MAX_LINE_LENGTH = 256;

/**
 * Requests `<url>/healthz-report`. The proxy itself stated the address, so only the status is passed on of an answer that is not
 * a report, redirects are not followed, and size and time are limited. Never rejects.
 */
export async function checkProxy(url: string, timeoutMs = TIMEOUT_MS): Promise<Observation> {
  const signal = AbortSignal.timeout(timeoutMs);
  const dialer = dialerToOthers();
  try {
    const { status, text } = await fetchText(dialer, new URL("/healthz-report", url), {
      maxBytes: MAX_REPORT_BYTES,
      signal,
    });
    return observationOf(status, text);
  } catch (error) {
    if (signal.aborted) return { kind: "no-answer", why: `no complete answer within ${timeoutMs / 1_000} s` };
    if (error instanceof BodyTooLong) return { kind: "bad-answer", why: error.message };
    const { code, message } = error as NodeJS.ErrnoException;
    return {
      kind: "no-answer",
      why: withoutNul(message === "" ? (code ?? "unknown") : message).slice(0, MAX_LINE_LENGTH),
    };
  } finally {
    dialer.close();
  }
}

export function observationOf(status: number, text: string): Observation {
  if (status !== 200) return { kind: "bad-answer", why: `its /healthz-report answered HTTP ${status}` };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { kind: "bad-answer", why: "its /healthz-report is not JSON" };
  }
  const report = proxyHealthReport.safeParse(json);
  if (!report.success) return { kind: "bad-answer", why: "its /healthz-report is not a health report" };
  const [errors, warnings] = [linesOf(report.data.errors), linesOf(report.data.warnings)];
  return errors.length > 0 ? { kind: "reports-errors", errors, warnings } : { kind: "ok", warnings };
}

function linesOf(texts: readonly string[]): string[] {
  return texts.slice(0, MAX_LINES).map((text) => withoutNul(text).slice(0, MAX_LINE_LENGTH));
}
