/**
 * The id of one client session: from the editor or the command line through REST, coordination and the tunnel to the
 * agent, so that one search finds every log line about it. It travels as a member of W3C baggage.
 */

/** Name of the baggage member, the query parameter and the log field. */
export const SESSION_ID_KEY = "client_session_id";

/** Limits of W3C baggage §3.3.2. */
const MAX_BAGGAGE_BYTES = 8192;
const MAX_MEMBERS = 180;

/** 16 bytes as 32 lower-case hexadecimal digits, not all zero. Receivers do not log anything else. */
export function isSessionId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text) && !/^0+$/.test(text);
}

/** The id in a `baggage` header; undefined when there is none that is valid. */
export function sessionIdOfBaggage(header: string | undefined): string | undefined {
  if (header === undefined || header.length > MAX_BAGGAGE_BYTES) return undefined;
  for (const member of header.split(",", MAX_MEMBERS)) {
    const [pair = ""] = member.split(";", 1);
    const equals = pair.indexOf("=");
    if (equals < 0 || pair.slice(0, equals).trim() !== SESSION_ID_KEY) continue;
    const value = pair.slice(equals + 1).trim();
    return isSessionId(value) ? value : undefined;
  }
  return undefined;
}

/** A `baggage` header with the id added to its other members. Any text can be sent as an id. */
export function withSessionId(baggage: string | undefined, id: string): string {
  const member = `${SESSION_ID_KEY}=${encodeURIComponent(id)}`;
  return baggage === undefined || baggage === "" ? member : `${baggage},${member}`;
}

/** The id in the reason of a peer update from the control plane. */
export function sessionIdOfReason(reason: string): string | undefined {
  const found = /(?:^| )client_session_id=([0-9a-f]{32})(?: |$)/.exec(reason)?.[1];
  return found !== undefined && isSessionId(found) ? found : undefined;
}
