/**
 * Senders of requests other than users: agents and workspace proxies. Each has a share of the requests that are being answered.
 */
import type { Context } from "hono";
import type { AuthenticatedAgent, Authenticator } from "../auth/authenticator.ts";
import { DomainError } from "../base/domain-error.ts";
import type { Places } from "../base/places.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { ProxyAuthenticator } from "../workspace-proxies/proxy-authenticator.ts";
import type { HttpEnv } from "./hono.ts";

/** Authenticates the sender of a request and takes one of its places until the request is answered. Throws DomainError. */
export type SenderOf<Sender> = (c: Context<HttpEnv>) => Promise<Sender>;

/** @param places Limits by agent. */
export function agentSender(
  authenticator: Pick<Authenticator, "authenticateAgent">,
  places: Places,
): SenderOf<AuthenticatedAgent> {
  return async (c) => {
    const found = await authenticator.authenticateAgent(c.env.incoming);
    if (found instanceof DomainError) throw found;
    places.takeUntilClosed({ userId: found.agent.id }, c.env.outgoing);
    return found;
  };
}

/** @param places Limits by proxy. */
export function proxySender(
  authenticator: Pick<ProxyAuthenticator, "authenticate">,
  places: Places,
): SenderOf<WorkspaceProxyRow> {
  return async (c) => {
    const proxy = await authenticator.authenticate(c.env.incoming);
    places.takeUntilClosed({ userId: proxy.id }, c.env.outgoing);
    return proxy;
  };
}
