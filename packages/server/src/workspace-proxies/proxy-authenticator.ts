import type { IncomingMessage } from "node:http";
import { PROXY_TOKEN_HEADER } from "coder-protocol/rest/workspace-proxies";
import { equalDigests, hashSecret } from "../auth/tokens.ts";
import { DomainError } from "../base/domain-error.ts";
import { senderIsKnown } from "../base/unknown-senders.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { WorkspaceProxies } from "../db/workspace-proxies.ts";
import { parseProxyToken } from "./proxy-token.ts";

/**
 * Decides which proxy sent a request. Fails closed; the token is accepted only in its own header, never in a cookie, a query
 * parameter or another header.
 */
export class ProxyAuthenticator {
  readonly #proxies: Pick<WorkspaceProxies, "byId">;

  constructor(proxies: Pick<WorkspaceProxies, "byId">) {
    this.#proxies = proxies;
  }

  /** Throws DomainError "unauthenticated". */
  async authenticate(request: Pick<IncomingMessage, "headers">): Promise<WorkspaceProxyRow> {
    const header = request.headers[PROXY_TOKEN_HEADER.toLowerCase()];
    if (typeof header !== "string" || header === "")
      throw new DomainError("unauthenticated", `Header "${PROXY_TOKEN_HEADER}" must be provided`);
    const token = parseProxyToken(header);
    if (token === undefined) throw invalidToken();
    // Hash before the lookup, so that an unknown id costs the same as a wrong secret.
    const digest = hashSecret(token.secret);
    const proxy = await this.#proxies.byId(token.proxyId);
    if (proxy === undefined || !equalDigests(digest, proxy.token_hash)) throw invalidToken();
    senderIsKnown(request);
    return proxy;
  }

  /** Whether the token that authenticated a request is still the proxy's token. */
  async stillHolds({ id, token_generation }: WorkspaceProxyRow): Promise<boolean> {
    return (await this.#proxies.byId(id))?.token_generation === token_generation;
  }
}

export function invalidToken(): DomainError {
  return new DomainError("unauthenticated", "The proxy token is invalid");
}
