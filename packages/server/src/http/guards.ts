import type { IncomingMessage } from "node:http";
import { REPLICA_HEADER } from "coder-protocol/replica-header";
import type { Authenticator } from "../auth/authenticator.ts";
import type { Hosts } from "../auth/hosts.ts";
import { DomainError } from "../base/domain-error.ts";
import type { Places } from "../base/places.ts";
import { shortReplicaId } from "../base/replica-id.ts";
import { HttpFailure } from "./failure.ts";
import type { Guard } from "./hono.ts";

/**
 * Admits only authenticated users; the user is then in `c.get("auth")`.
 * @param places Limits the requests that are being answered, by user.
 * @param replicaId Named in answers to owners, who may look for what happened on that server.
 */
export function requireUser(authenticator: Authenticator, places: Places, replicaId: string): Guard {
  return async (c, next) => {
    const auth = await authenticator.authenticateUser(c.env.incoming);
    if (auth instanceof DomainError) throw auth;
    places.takeUntilClosed({ userId: auth.user.id }, c.env.outgoing);
    c.set("auth", auth);
    if (auth.user.role === "owner") c.env.outgoing.setHeader(REPLICA_HEADER, shortReplicaId(replicaId));
    await next();
  };
}

/** Admits only owners of the deployment. Use after requireUser. */
export const requireOwner: Guard = async (c, next) => {
  if (c.get("auth").user.role !== "owner") throw new HttpFailure(403, "Only an owner of this deployment may do that");
  await next();
};

/** For requests that need no login: a page of another origin must not be able to log its visitor in. */
export function refuseForeignOrigin(request: IncomingMessage, hosts: Pick<Hosts, "isOurOrigin">): void {
  const { origin } = request.headers;
  if (origin !== undefined && !hosts.isOurOrigin(origin, request)) {
    throw new HttpFailure(403, "Requests are not accepted from other origins");
  }
}
