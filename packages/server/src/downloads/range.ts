/** Conditional and partial requests (RFC 9110 §13 and §14), limited to what a single file needs. Pure. */

export type ByteRange =
  | { readonly kind: "whole" }
  | { readonly kind: "part"; readonly start: number; readonly end: number }
  | { readonly kind: "unsatisfiable" };

const WHOLE: ByteRange = { kind: "whole" };

/** Anything but one range of bytes is ignored, as the standard allows, and answered with the whole file. `end` is inclusive. */
export function parseRange(header: string | undefined, size: number): ByteRange {
  const match = /^bytes=[ \t]*(\d{0,15})-(\d{0,15})[ \t]*$/i.exec(header ?? "");
  const [, from = "", to = ""] = match ?? [];
  if (from === "" && to === "") return WHOLE;
  if (from === "") {
    const last = Number(to);
    if (last === 0 || size === 0) return { kind: "unsatisfiable" };
    return { kind: "part", start: Math.max(0, size - last), end: size - 1 };
  }
  const start = Number(from);
  if (to !== "" && Number(to) < start) return WHOLE;
  if (start >= size) return { kind: "unsatisfiable" };
  return { kind: "part", start, end: to === "" ? size - 1 : Math.min(Number(to), size - 1) };
}

/** Whether If-None-Match contains the entity tag, by weak comparison. */
export function matchesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  if (header.trim() === "*") return true;
  return header.split(",").some((one) => one.trim().replace(/^W\//, "") === tag);
}

export type ContentCoding = "br" | "zstd" | "gzip" | "identity";

/** The best of the available codings that Accept-Encoding accepts. */
export function chooseCoding<Coding extends ContentCoding>(
  header: string | undefined,
  offered: readonly Exclude<Coding, "identity">[],
): Coding | "identity" {
  const weights = new Map<string, number>();
  for (const part of (header ?? "").split(",").slice(0, 16)) {
    const [name = "", ...parameters] = part.split(";").map((piece) => piece.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
    weights.set(name, quality === undefined ? 1 : Number(quality) || 0);
  }
  let best: Coding | "identity" = "identity";
  let bestWeight = 0;
  for (const coding of offered) {
    const weight = weights.get(coding) ?? (coding === "gzip" ? weights.get("x-gzip") : undefined) ?? 0;
    if (weight > bestWeight) [best, bestWeight] = [coding, weight];
  }
  return best;
}
