/** Which headers of a request reach a program, and which headers of its answer reach the client (RFC 9110 §7.6.1). */
import { withoutBlanks } from "../base/blanks.ts";
import { type Relation, siblingHeaders } from "./cross-origin.ts";
import { isOwnCookie } from "./names.ts";

export type Header = readonly [name: string, value: string];

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/**
 * Headers of a client, named as by `canonicalName`, that are not forwarded: only a proxy may set them, or the server has already
 * answered them.
 */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  "host",
  "expect",
  "forwarded",
  "x-real-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "x-original-url",
  "x-rewrite-url",
  "coder-session-token",
]);

/** Headers of a program that are not returned, because they would take effect beyond its own host. */
const NOT_RETURNED: ReadonlySet<string> = new Set([
  "alt-svc",
  "clear-site-data",
  "public-key-pins",
  "public-key-pins-report-only",
]);

/** WebSocket headers as RFC 6455 spells them: some servers compare the case. */
const SPELLING: ReadonlyMap<string, string> = new Map(
  ["Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"].map((name) => [
    name.toLowerCase(),
    name,
  ]),
);

const OWN_BEARER = /^bearer +[A-Za-z0-9]{10}-[A-Za-z0-9]{22} *$/i;

export interface ForwardedRequest {
  /** Names and values in turn, as Node gives them: name, value, name, value … */
  readonly rawHeaders: readonly string[];
  /** The `Host` that the client sent. */
  readonly host: string;
  readonly scheme: "http" | "https";
  readonly clientAddress: string;
  /** The origin of the program in its own view, which gives its `Host` too; if absent, the client's `Host` stays. */
  readonly programOrigin?: string | undefined;
  readonly webSocket: boolean;
  /** The visitor's identity, if the program is to receive it. */
  readonly identity?: VisitorIdentity | undefined;
  /** Whether the app is below a path of the deployment's own host. */
  readonly onMainHost?: boolean;
}

export interface VisitorIdentity {
  readonly id: string;
  readonly username: string;
  readonly email: string;
}

export function headersToProgram(request: ForwardedRequest): Header[] {
  const { scheme, host, programOrigin } = request;
  const named = connectionNames(request.rawHeaders);
  const headers: Header[] = [["Host", programOrigin === undefined ? host : authorityOf(programOrigin)]];
  let chunked = false;
  for (const [name, value] of pairs(request.rawHeaders)) {
    const lower = name.toLowerCase();
    if (lower === "transfer-encoding") chunked = true;
    if (named.has(lower) || isWithheld(canonicalName(lower))) continue;
    if (lower === "authorization" && OWN_BEARER.test(value)) continue;
    if (lower === "cookie") {
      const kept = foreignCookies(value, request.onMainHost);
      if (kept !== "") headers.push([name, kept]);
    } else if (programOrigin !== undefined && (lower === "origin" || lower === "referer")) {
      // Programs compare both with their Host.
      headers.push([name, moved(value, `${scheme}://${host}`, programOrigin)]);
    } else {
      headers.push([SPELLING.get(lower) ?? name, value]);
    }
  }
  const port = /:(\d+)$/.exec(host)?.[1] ?? (scheme === "https" ? "443" : "80");
  headers.push(["X-Forwarded-For", request.clientAddress]);
  // A program that prefers this name to its Host would compare it with the Origin, which says localhost.
  if (programOrigin === undefined) headers.push(["X-Forwarded-Host", host]);
  headers.push(["X-Forwarded-Proto", scheme], ["X-Forwarded-Port", port]);
  if (request.identity !== undefined) {
    headers.push(
      ["X-Coder-Username", visibleAscii(request.identity.username)],
      ["X-Coder-User-Id", visibleAscii(request.identity.id)],
      ["X-Coder-Email", visibleAscii(request.identity.email)],
    );
  }
  if (request.webSocket) headers.push(["Connection", "Upgrade"], ["Upgrade", "websocket"]);
  else if (chunked) headers.push(["Transfer-Encoding", "chunked"]);
  return headers;
}

/**
 * The name as programs may see it. CGI and WSGI turn a header into a variable and replace every character but letters and digits
 * by "_" (RFC 3875 §4.1.18), so they read `X_Coder_Email` as `X-Coder-Email`.
 */
function canonicalName(lower: string): string {
  return lower.replace(/[^a-z0-9]/g, "-");
}

/** Whether a client's header, given by its canonical name, is withheld from programs. */
function isWithheld(canonical: string): boolean {
  return HOP_BY_HOP.has(canonical) || NOT_FORWARDED.has(canonical) || /^(?:proxy|x-forwarded|x-coder)-/.test(canonical);
}

/** Host and port of an address. */
function authorityOf(address: string): string {
  return /^https?:\/\/([^/?#]*)/i.exec(address)?.[1] ?? "";
}

/** The address at the other origin; any address that is not at `from` stays as it is. */
function moved(address: string, from: string, to: string): string {
  const rest = address.slice(from.length);
  return address.startsWith(from) && /^(?:[/?#]|$)/.test(rest) ? to + rest : address;
}

export interface ReturnedAnswer {
  readonly rawHeaders: readonly string[];
  readonly scheme: "http" | "https";
  readonly relation: Relation;
  /** The origin of the page, if a page sent the request. */
  readonly origin: string | undefined;
  readonly onMainHost?: boolean;
  /** As in the request. */
  readonly programOrigin?: string | undefined;
  /** The `Host` that the client sent. */
  readonly host?: string;
}

export interface ReturnedHead {
  readonly headers: Header[];
  /** Whether the body is an event stream, which may be silent indefinitely. */
  readonly isEventStream: boolean;
}

export function headersToClient(answer: ReturnedAnswer): ReturnedHead {
  const named = connectionNames(answer.rawHeaders);
  const headers: Header[] = [];
  let vary = false;
  const present = new Set<string>();
  let isEventStream = false;
  for (const [name, value] of pairs(answer.rawHeaders)) {
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || NOT_RETURNED.has(lower) || named.has(lower) || lower.startsWith("proxy-")) continue;
    if (lower === "strict-transport-security" && answer.scheme === "http") continue;
    if (answer.onMainHost && lower === "service-worker-allowed") continue;
    if (answer.relation !== "own" && lower.startsWith("access-control-")) continue;
    if (lower === "set-cookie") {
      const kept = hostOnlyCookie(value, answer.onMainHost);
      if (kept !== undefined) headers.push([name, kept]);
      continue;
    }
    if (lower === "location") {
      headers.push([name, publicLocation(value, answer)]);
      continue;
    }
    if (lower === "content-type" && /^text\/event-stream\b/i.test(value)) isEventStream = true;
    if (lower === "vary" && /(?:^|,)[ \t]*(?:origin|\*)[ \t]*(?:,|$)/i.test(value)) vary = true;
    present.add(lower);
    headers.push([name, value]);
  }
  if (answer.relation === "sibling" && answer.origin !== undefined) {
    headers.push(...Object.entries(siblingHeaders(answer.origin)));
    if (!vary) headers.push(["Vary", "Origin"]);
  }
  // The path of an app contains the names of the owner and the workspace.
  if (answer.onMainHost && !present.has("referrer-policy")) headers.push(["Referrer-Policy", "same-origin"]);
  if (isEventStream) {
    if (!present.has("x-accel-buffering")) headers.push(["X-Accel-Buffering", "no"]);
    if (!present.has("cache-control")) headers.push(["Cache-Control", "no-cache"]);
  }
  return { headers, isEventStream };
}

/** A program that makes an address of its `Host` names one that only the workspace can reach. */
function publicLocation(location: string, { programOrigin, host, scheme }: ReturnedAnswer): string {
  if (programOrigin === undefined || host === undefined) return location;
  const authority = authorityOf(location);
  // Its scheme may be that of X-Forwarded-Proto.
  return authority.toLowerCase() === authorityOf(programOrigin)
    ? `${scheme}://${host}${location.slice(location.indexOf("//") + 2 + authority.length)}`
    : location;
}

/** Percent-encodes every character that is not visible ASCII, because a header value cannot hold it. */
function visibleAscii(text: string): string {
  return text.toWellFormed().replace(/[^\x21-\x7e]/gu, (character) => encodeURIComponent(character));
}

/** A Cookie header without the server's own cookies; "" if none remain. */
export function foreignCookies(value: string, onMainHost = false): string {
  return value
    .split(";")
    .map((pair) => withoutBlanks(pair))
    .filter((pair) => pair !== "" && !isOwnCookie(withoutBlanks(pair.split("=", 1)[0] ?? ""), onMainHost))
    .join("; ");
}

/**
 * A Set-Cookie without `Domain`, so that the cookie stays with the host. Undefined for a cookie of the server, and for one
 * without a name: browsers send its value as if it were a name.
 */
export function hostOnlyCookie(value: string, onMainHost = false): string | undefined {
  const [pair = "", ...attributes] = value.split(";");
  const equals = pair.indexOf("=");
  const name = equals < 0 ? "" : withoutBlanks(pair.slice(0, equals));
  if (name === "" || isOwnCookie(name, onMainHost)) return undefined;
  const kept = attributes.filter(
    (attribute) => withoutBlanks(attribute.split("=", 1)[0] ?? "").toLowerCase() !== "domain",
  );
  return [pair, ...kept].join(";");
}

/** The names that `Connection` declares to be for the next hop only. */
function connectionNames(rawHeaders: readonly string[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [name, value] of pairs(rawHeaders)) {
    if (name.toLowerCase() !== "connection") continue;
    for (const token of value.split(",")) names.add(withoutBlanks(token).toLowerCase());
  }
  // These headers define the message; a sender cannot remove them through `Connection`.
  for (const kept of ["host", "content-length", "cookie", "set-cookie", "authorization", "origin"]) names.delete(kept);
  return names;
}

function* pairs(rawHeaders: readonly string[]): Generator<Header> {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) yield [rawHeaders[i]!, rawHeaders[i + 1]!];
}
