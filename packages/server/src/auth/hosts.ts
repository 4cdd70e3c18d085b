import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { matchesHost } from "../base/host-pattern.ts";
import { isLoopback } from "../base/listen-address.ts";

/**
 * Decides which Host and Origin values belong to this deployment. Protects against DNS rebinding: a page of another name that
 * resolves to this server sends that name as Host and is refused with 421.
 */
export class Hosts {
  readonly #accessUrl: () => URL;
  readonly #browserUrl: () => URL;
  readonly #allowed: readonly string[];

  /** @param accessUrl Called for each request: without a setting, the URL is known only once the server listens. */
  constructor(accessUrl: () => URL, allowed: readonly string[], browserUrl: () => URL = accessUrl) {
    this.#accessUrl = accessUrl;
    this.#browserUrl = browserUrl;
    this.#allowed = allowed;
  }

  /**
   * Accepts the host of the access URL and the one for browsers, the additional hosts, the local address of the connection and,
   * over loopback, `localhost`. The port is ignored: behind a proxy the outer port is unknown.
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
   * Whether a page of this origin belongs to the deployment: the origin is the access URL's or the one that this request
   * addresses. Where browsers use https, a page loaded over http may have been altered in transit, so it is accepted only from
   * this machine.
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

const HIGHEST_PORT = 65_535;

/** The name in lower case, without the port and the final dot of a fully qualified name; undefined if it is not a host. */
export function hostname(host: string | undefined): string | undefined {
  if (host === undefined) return undefined;
  const match = /^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]*[a-zA-Z0-9_-])\.?(?::(\d{1,5}))?$/.exec(host);
  return match === null || Number(match[2] ?? 0) > HIGHEST_PORT ? undefined : match[1]?.toLowerCase();
}

function unbracket(name: string): string {
  return name.startsWith("[") ? name.slice(1, -1) : name;
}

/** Writes ::ffff:192.0.2.1, which a dual-stack socket reports for IPv4, as 192.0.2.1. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice("::ffff:".length) : address;
}
