/** Parsers for the text of a value. Pure. They return undefined for a text that is no such value. */

export function readBoolean(text: string): boolean | undefined {
  if (/^(1|true|yes|on)$/i.test(text)) return true;
  if (/^(0|false|no|off|)$/i.test(text)) return false;
  return undefined;
}

export function readInteger(text: string): number | undefined {
  return /^-?[0-9]+$/.test(text) ? Number(text) : undefined;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses `1h30m`, `500ms`, `5s` or a bare number of seconds. Returns milliseconds. */
export function readDuration(text: string): number | undefined {
  if (/^[0-9]+(\.[0-9]+)?$/.test(text)) return Number(text) * 1_000;
  if (!/^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)/g))
    total += Number(amount) * UNIT_MS[unit!]!;
  return total;
}

/** Inverse of {@link readDuration}: in the largest unit, up to hours, that leaves no remainder. */
export function durationText(ms: number): string {
  const unit = ["h", "m", "s"].find((name) => ms !== 0 && ms % UNIT_MS[name]! === 0) ?? "ms";
  return ms === 0 ? "0" : `${ms / UNIT_MS[unit]!}${unit}`;
}
