import type { IncomingMessage } from "node:http";
import type { Context } from "hono";
import type { Audit, AuditEvent } from "../auth/audit.ts";
import type { HttpEnv } from "./hono.ts";

/** The audit for routes: the actor of an event is the request's user unless the event names another. */
export class RequestAudit {
  readonly #audit: Audit;
  readonly #clientAddress: (request: IncomingMessage) => string;

  constructor(audit: Audit, clientAddress: (request: IncomingMessage) => string) {
    this.#audit = audit;
    this.#clientAddress = clientAddress;
  }

  record(c: Context<HttpEnv>, event: Omit<AuditEvent, "address">): void {
    this.#audit.record({ address: this.addressOf(c), by: event.by ?? c.get("auth").user, ...event });
  }

  /** The client's address. */
  addressOf(c: Context<HttpEnv>): string {
    return this.#clientAddress(c.env.incoming);
  }
}
