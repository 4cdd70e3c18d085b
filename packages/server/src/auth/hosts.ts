import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { matchesHost } from "../base/host-pattern.ts";
import { isLoopback } from "../base/listen-address.ts";

/**
 * Which Host and Origin values are ours. Against DNS rebinding: a page of another name that resolves to this server
 * sends that name as Host, and is refused with 421.
 */
export class Hosts {
  readonly #accessUrl: () => URL;
  readonly #browserUrl: () => URL;
  readonly #allowed: readonly string[];

  /** The access URL is asked for each time: without a setting it is known only once the server listens. */
  constructor(accessUrl: () => URL, allowed: readonly string[], browserUrl: () => URL = accessUrl) {
    this.#accessUrl = accessUrl;
    this.#browserUrl = browserUrl;
    this.#allowed = allowed;
  }

  /**
   * Ours are the host of the access URL and the one for browsers, the extra ones, the very address the connection came in on, and, for a
   * connection over loopback, `localhost`. Any port: behind a proxy the outer port is unknown.
   */
  isOurs(request: IncomingMessage): boolean {
    return this.isOurHost(request.headers.host, request.socket.localAddress);
  }

  isOurHost(host: string | undefined, localAddress: string | undefined): boolean {
    const name = hostname(host);
    if (name === undefined) return false;
    if (name === this.#accessUrl().hostname.toLowerCase()) return true;
    if (name === this.#browserUrl().hostname.toLowerCase()) return true;
    if (this.#allowed.some((pattern) => matchesHost(pattern, name))) return true;
    const local = plainAddress(localAddress ?? "");
    if (isIP(unbracket(name)) !== 0) return unbracket(name) === local;
    return name === "localhost" && (local === "::1" || local.startsWith("127."));
  }

  /**
   * Whether a page of this origin is one of ours: the access URL's, or the one this very request addresses. Where browsers use https,
   * a page that came over http may have been changed on its way, unless it came from this machine.
   */
  isOurOrigin(origin: string, request: IncomingMessage): boolean {
    if (!URL.canParse(origin)) return false;
    const url = new URL(origin);
    if (url.origin === this.#accessUrl().origin || url.origin === this.#browserUrl().origin) return true;
    const onThisMachine = isLoopback(unbracket(url.hostname));
    if (url.protocol === "http:" && this.#browserUrl().protocol === "https:" && !onThisMachine) return false;
    const host = request.headers.host;
    return host !== undefined && url.host === host.toLowerCase() && this.isOurs(request);
  }
}

/** Lower-case name without the port and the dot of a fully qualified name; undefined for what is not a host. */
export function hostname(host: string | undefined): string | undefined {
  if (host === undefined) return undefined;
  const match = /^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]*[a-zA-Z0-9_-])\.?(?::\d{1,5})?$/.exec(host);
  return match?.[1]?.toLowerCase();
}

function unbracket(name: string): string {
  return name.startsWith("[") ? name.slice(1, -1) : name;
}

/** ::ffff:192.0.2.1, which a dual-stack socket reports for IPv4, as 192.0.2.1. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice("::ffff:".length) : address;
}
