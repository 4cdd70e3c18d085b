/**
 * Decides which requests are served as upgrades. An `Upgrade` header alone is not enough: one that no route understands is
 * ignored, and the request is served as a plain one (RFC 9110 §7.8).
 */
import type { IncomingMessage } from "node:http";

const served = new WeakSet<IncomingMessage>();

/** Marks a request that the front door passes to an upgrade route and to no other. */
export function serveAsUpgrade(request: IncomingMessage): void {
  served.add(request);
}

export function isServedAsUpgrade(request: IncomingMessage): boolean {
  return served.has(request);
}
