import { randomBytes } from "node:crypto";
import { PROXY_TOKEN_PATTERN } from "coder-protocol/rest/workspace-proxies";

const SECRET_BYTES = 32;

/** A proxy's token, split. `secret` never leaves memory except to the owner who made it, once. */
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

/** Undefined for any other shape. */
export function parseProxyToken(text: string): ProxyToken | undefined {
  if (!PROXY_TOKEN_PATTERN.test(text)) return undefined;
  const [proxyId = "", secret = ""] = text.split(":");
  return { proxyId, secret };
}
