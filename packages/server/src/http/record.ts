import type { Context } from "hono";
import type { AuditEvent } from "../auth/audit.ts";
import type { HttpEnv, RouteContext } from "./context.ts";

/** Records what a request did: by whom its login says, unless told otherwise, from the address it came from. */
export function record(c: Context<HttpEnv>, context: RouteContext, event: Omit<AuditEvent, "address">): void {
  const address = context.clientAddress(c.env.incoming);
  context.audit.record({ address, by: event.by ?? c.get("auth").user, ...event });
}
