const MAX_DEPTH = 6;

/** Nested settings as dotted names with texts; lists are joined by commas. */
export function flattened(value: unknown, prefix = "", depth = 0): (readonly [string, string])[] {
  if (value === null || value === undefined) return [[prefix, ""]];
  if (Array.isArray(value)) return [[prefix, value.map(String).join(", ")]];
  if (typeof value !== "object" || depth === MAX_DEPTH) return [[prefix, String(value)]];
  return Object.entries(value).flatMap(([name, one]) =>
    flattened(one, prefix === "" ? name : `${prefix}.${name}`, depth + 1),
  );
}
