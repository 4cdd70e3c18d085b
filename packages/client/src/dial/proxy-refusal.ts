/** Explains the refusal of a proxy, with a next step. */
import { EngineError } from "wg-userspace/base/errors";

const MAX_REASON_CHARS = 80;

/**
 * @param head The proxy's response to CONNECT: status line and headers.
 * @param proxy `host:port`
 * @param authority The requested destination, `host:port`.
 */
export function proxyRefusal(head: string, proxy: string, authority: string): EngineError {
  const status = /^HTTP\/1\.[01] ([0-9]{3}) ?([^\r\n]*)/.exec(head);
  if (status === null)
    return new EngineError(
      "ERR_PROXY_REFUSED",
      `${proxy} is not an HTTP proxy: it answered CONNECT with something that is not HTTP. Check the proxy variable`,
    );
  const code = Number(status[1]);
  const reason = (status[2] ?? "").replace(/[^\x20-\x7e]/g, "").slice(0, MAX_REASON_CHARS);
  const answer = `${code} ${reason}`.trim();
  const [words, retryable] = meaningOf(code, authority);
  return new EngineError(
    "ERR_PROXY_REFUSED",
    `proxy ${proxy} refused to connect to ${authority} with ${answer}: ${words}${challengeOf(head, code)}`,
    { retryable },
  );
}

function meaningOf(code: number, authority: string): [words: string, retryable: boolean] {
  // Some proxies send 401 where the standard requires 407 (RFC 9110 §15.5.8); no other server could have answered a CONNECT.
  if (code === 401 || code === 407)
    return [
      "it requires a name and password, or different ones; put them into the proxy URL, as http://name:password@host",
      false,
    ];
  if (code === 403)
    return [
      `it does not allow ${authority}; ask its administrator to allow this host, or name the host in NO_PROXY`,
      false,
    ];
  if (code === 404 || code === 405 || code === 501)
    return ["it is not a proxy, or does not carry HTTPS and WebSockets; check the proxy variable", false];
  if (code === 429) return ["it limits how often connections are made; try again later", true];
  if (code === 502 || code === 504)
    return ["it cannot reach the host itself; check the host name, or name the host in NO_PROXY", true];
  if (code >= 500) return ["it is overloaded or broken; try again later, or ask its administrator", true];
  return ["ask its administrator to allow this host, or name the host in NO_PROXY", false];
}

/** The proxy may require an authentication scheme that is not supported here. */
function challengeOf(head: string, code: number): string {
  if (code !== 401 && code !== 407) return "";
  const schemes = [...head.matchAll(/^(?:proxy|www)-authenticate:\s*([A-Za-z]+)/gim)].map((match) => match[1]!);
  if (schemes.length === 0 || schemes.some((scheme) => scheme.toLowerCase() === "basic")) return "";
  return `. It asks for ${[...new Set(schemes)].join(" or ")}, but only Basic is supported here: run a local proxy that speaks it, such as cntlm`;
}
