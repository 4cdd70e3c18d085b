import { printableJson } from "../base/text.ts";

/**
 * A document of our own as JSON: keys in snake_case, as in the deployment's responses, and measured numbers without meaningless
 * digits. Responses of the deployment are printed unchanged, by jsonText.
 */
export function ownJson(document: unknown, indent?: number): string {
  return printableJson(JSON.stringify(snakeCased(document), null, indent));
}

function snakeCased(value: unknown): unknown {
  if (typeof value === "number") return Math.round(value * 1000) / 1000;
  if (Array.isArray(value)) return value.map(snakeCased);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [snakeKey(key), snakeCased(one)]));
}

/** Keys that are data, such as names of regions, contain more than letters and digits or begin with a capital. */
function snakeKey(key: string): string {
  return /^[a-z][A-Za-z0-9]*$/.test(key) ? key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) : key;
}
