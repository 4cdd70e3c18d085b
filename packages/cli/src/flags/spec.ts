/** One command-line option, described once: oclif's flags, the lean parser, `--debug-options` and completion read this. */
export interface FlagSpec {
  /** Long name without dashes. */
  readonly name: string;
  /** One-letter form. */
  readonly char?: string;
  /** Variable that sets it when the flag is absent. Lists are separated by commas or newlines there. */
  readonly env?: string;
  readonly kind: "boolean" | "string" | "list" | "integer" | "duration";
  /** Allowed values of a string. */
  readonly options?: readonly string[];
  readonly default?: string;
  /** One line, shown by --help. */
  readonly summary: string;
  /** How the value is called in help. */
  readonly value?: string;
  readonly hidden?: boolean;
  /** A variable that is set to nothing says something, too: that it is off. Others count as not set. */
  readonly emptyCounts?: boolean;
}

/** Parsed values by flag name. Durations are milliseconds. Absent flags without default are undefined. */
export type FlagValues = Readonly<Record<string, FlagValue>>;
export type FlagValue = string | number | boolean | readonly string[] | undefined;

/** Where a value came from, for --debug-options. */
export type FlagOrigin = "flag" | "environment" | "default" | "unset";

/** The command line does not follow the grammar: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export function stringFlag(values: FlagValues, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function booleanFlag(values: FlagValues, name: string): boolean {
  return values[name] === true;
}

export function listFlag(values: FlagValues, name: string): readonly string[] {
  const value = values[name];
  return Array.isArray(value) ? (value as readonly string[]) : [];
}

export function numberFlag(values: FlagValues, name: string): number | undefined {
  const value = values[name];
  return typeof value === "number" ? value : undefined;
}

/** Reads one value as its kind. Throws UsageError naming the flag, the value and what is wanted. */
export function parseFlagValue(spec: FlagSpec, text: string, from = `--${spec.name}`): string | number | boolean {
  switch (spec.kind) {
    case "boolean":
      if (/^(1|true|yes|on)$/i.test(text)) return true;
      if (/^(0|false|no|off|)$/i.test(text)) return false;
      throw new UsageError(`${from} is "${text}"; it takes true or false`);
    case "integer":
      if (!/^-?[0-9]+$/.test(text)) throw new UsageError(`${from} is "${text}"; it takes a whole number`);
      return Number(text);
    case "duration":
      return parseDuration(text, from);
    case "string":
    case "list":
      if (spec.options !== undefined && !spec.options.includes(text)) {
        throw new UsageError(`${from} is "${text}"; it takes one of: ${spec.options.join(", ")}`);
      }
      return text;
  }
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `1h30m`, `500ms`, `5s`, a bare number of seconds. Returns milliseconds. */
export function parseDuration(text: string, from: string): number {
  if (/^[0-9]+(\.[0-9]+)?$/.test(text)) return Number(text) * 1_000;
  if (!/^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$/.test(text)) {
    throw new UsageError(`${from} is "${text}"; it takes a duration such as 500ms, 5s, 10m or 1h30m`);
  }
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)/g))
    total += Number(amount) * UNIT_MS[unit!]!;
  return total;
}

/** Splits an environment value of a list flag. */
export function splitList(text: string): string[] {
  return text
    .split(/[,\n]/)
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
