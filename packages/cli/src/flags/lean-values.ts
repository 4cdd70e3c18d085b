/** Computes the values of a shaped line without oclif, for the lean start. A test compares the result with oclif's. */
import type { FlagValues } from "./kinds.ts";
import type { LineFlags, ShapedLine } from "./line.ts";

export function readShaped<T extends LineFlags>(flags: T, { given }: ShapedLine): FlagValues<T> {
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const value = given[name];
    if (value !== undefined) values[name] = typeof value === "string" ? (flag.read?.(value) ?? value) : value;
    else if (flag.default !== undefined) values[name] = flag.default;
    else if (flag.type === "boolean") values[name] = false;
  }
  return values as FlagValues<T>;
}
