import { randomBytes } from "node:crypto";
import { PROXY_TOKEN_PATTERN } from "coder-protocol/rest/workspace-proxies";

const SECRET_BYTES = 32;

/** The two parts of a proxy's token. `secret` leaves memory only once, when the owner who made it is shown it. */
export interface ProxyToken {
  readonly proxyId: string;
  /** Hex. */
  readonly secret: string;
}

export function mintProxyToken(proxyId: string): ProxyToken {
  return { proxyId, secret: randomBytes(SECRET_BYTES).toString("hex") };
}

export function formatProxyToken({ proxyId, secret }: ProxyToken): string {
  return `${proxyId}:${secret}`;
}

/** Undefined if the text has any other form. */
export function parseProxyToken(text: string): ProxyToken | undefined {
  if (!PROXY_TOKEN_PATTERN.test(text)) return undefined;
  const [proxyId = "", secret = ""] = text.split(":");
  return { proxyId, secret };
}
