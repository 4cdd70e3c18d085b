import type { IncomingMessage } from "node:http";

const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/is;

/**
 * Rewrites a request whose target has the absolute form (RFC 9112 §3.2.2), as clients send it to proxies, to the origin form. Its
 * authority takes the place of the Host header, which does not count then, so that everything which decides by Host decides by the
 * authority. Does nothing to any other request, and nothing the second time. Returns the request.
 */
export function originForm(request: IncomingMessage): IncomingMessage {
  const match = ABSOLUTE.exec(request.url ?? "");
  if (match === null) return request;
  const [, authority = "", rest = ""] = match;
  request.url = rest === "" && request.method === "OPTIONS" ? "*" : /^[/#]/.test(rest) ? rest : `/${rest}`;
  const { rawHeaders } = request;
  let hasHost = false;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() !== "host") continue;
    hasHost = true;
    rawHeaders[i + 1] = authority; // more than one is still refused
  }
  if (!hasHost) rawHeaders.push("Host", authority);
  request.headers.host = authority;
  return request;
}
