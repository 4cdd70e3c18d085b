/**
 * Which requests are served as upgrades. An `Upgrade` header alone does not decide it: one that no route understands is ignored
 * and the request served as it is (RFC 9110 §7.8).
 */
import type { IncomingMessage } from "node:http";

const served = new WeakSet<IncomingMessage>();

/** For the front door: this request goes to a route of upgrades, and to no other. */
export function serveAsUpgrade(request: IncomingMessage): void {
  served.add(request);
}

export function isServedAsUpgrade(request: IncomingMessage): boolean {
  return served.has(request);
}
