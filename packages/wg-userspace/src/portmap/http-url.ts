/** The URLs that a gateway may give us: plain HTTP on an IPv4 literal. */
import { type AddrPort, formatAddrPort, parseIp } from "../base/ip.ts";

export interface HttpUrl {
  readonly at: AddrPort;
  /** Starts with a slash; printable ASCII without spaces. */
  readonly path: string;
}

const MAX_URL = 512;
const ABSOLUTE = /^http:\/\/([0-9.]{7,15})(?::([0-9]{1,5}))?(\/[^#]*)?$/i;
const PRINTABLE = /^[\x21-\x7e]*$/;

/** Undefined for names, other schemes, user names, fragments, and anything that is too long. */
export function parseHttpUrl(text: string): HttpUrl | undefined {
  if (text.length > MAX_URL || !PRINTABLE.test(text)) return undefined;
  const match = ABSOLUTE.exec(text);
  if (match === null) return undefined;
  const address = parseIp(match[1]!);
  const port = Number(match[2] ?? 80);
  if (address === undefined || port === 0 || port > 65_535) return undefined;
  return { at: { address, port }, path: match[3] ?? "/" };
}

/** A reference inside the document at `base`: absolute, from the root, or relative to its folder. */
export function resolveHttpUrl(base: HttpUrl, reference: string): HttpUrl | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(reference)) return parseHttpUrl(reference);
  if (reference.startsWith("//")) return undefined;
  const folder = base.path.replace(/\?.*$/, "").replace(/[^/]*$/, "");
  return parseHttpUrl(`http://${formatAddrPort(base.at)}${reference.startsWith("/") ? "" : folder}${reference}`);
}
