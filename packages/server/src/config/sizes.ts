const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** The number of bytes in a size such as `1GiB`, `500 MB` or `4096`; undefined for anything else. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit = ""] = /^(\d{1,12}(?:\.\d{1,3})?)\s*([a-zA-Z]{0,3})$/.exec(text.trim()) ?? [];
  const factor = UNITS[unit.toLowerCase()];
  if (digits === undefined || factor === undefined) return undefined;
  const bytes = Math.round(Number(digits) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
