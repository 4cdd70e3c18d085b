/** Go duration texts ("1h30m", "250ms") and the nanoseconds of the REST API. Internally, durations are milliseconds. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds; undefined for anything that is not a non-negative duration. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  const part = /(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/y;
  let total = 0;
  let end = 0;
  for (let match = part.exec(text); match !== null; match = part.exec(text)) {
    total += Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? Number.NaN);
    end = part.lastIndex;
  }
  if (end === 0 || end !== text.length || !Number.isFinite(total)) return undefined;
  return total;
}

export function msToNanoseconds(ms: number): number {
  return ms * 1e6;
}

export function nanosecondsToMs(ns: number): number {
  return ns / 1e6;
}
