import { withoutBlanks } from "../base/blanks.ts";

/**
 * The value of a cookie in a Cookie header (RFC 6265 §4.2). Only spaces and tabs are trimmed around names and values; other white
 * space belongs to the name. Two cookies with one name count as none: a page of a sibling domain can set a second one, and can
 * choose which comes first.
 */
export function cookieValue(header: string | undefined, name: string): string | undefined {
  let found: string | undefined;
  for (const part of (header ?? "").split(";")) {
    const equals = part.indexOf("=");
    if (equals < 0 || withoutBlanks(part.slice(0, equals)) !== name) continue;
    if (found !== undefined) return undefined;
    const raw = withoutBlanks(part.slice(equals + 1));
    found = raw.length >= 2 && raw.startsWith('"') && raw.endsWith('"') ? raw.slice(1, -1) : raw;
  }
  return found;
}
