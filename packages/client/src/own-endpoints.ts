/** Which addresses a node publishes, best first: where a peer may reach it. */

import type { Instant } from "wg-userspace/base/instant";
import { type AddrPort, addrPortEqual, formatAddrPort, isIpv4, parseIp } from "wg-userspace/base/ip";
import { addressClass, mayProbe } from "wg-userspace/magicsock/address-class";

/** A public endpoint that was not seen again is named this much longer. */
const REMEMBERED_MS = 310_000;
const MAX_ENDPOINTS = 32;

/** One local interface address, as `os.networkInterfaces` reports it. */
export interface LocalAddress {
  readonly address: string;
  readonly internal: boolean;
}

export interface EndpointSources {
  readonly ports: { readonly ipv4: number | undefined; readonly ipv6: number | undefined };
  readonly local: readonly LocalAddress[];
  /** What STUN servers saw, IPv4 first. */
  readonly mapped: readonly AddrPort[];
  /** A port that the router forwards to us. */
  readonly portMapped: AddrPort | undefined;
  /** The NAT uses another port for every destination, so the mapped ports are worth little. */
  readonly hardNat: boolean;
  /** The local port was chosen by the administrator, perhaps because it is forwarded one to one. */
  readonly fixedPort: boolean;
}

export class OwnEndpoints {
  /** Public endpoints by text, with the time they were last seen. */
  readonly #seen = new Map<string, { readonly endpoint: AddrPort; at: Instant }>();

  /** The list to publish now. */
  list(sources: EndpointSources, now: Instant): AddrPort[] {
    const { ports, portMapped } = sources;
    // A STUN server on this very machine sees an address that means nothing elsewhere.
    const mapped = sources.mapped.filter(({ address }) => addressClass(address) !== "loopback");
    const publicOnes: AddrPort[] = [];
    if (portMapped !== undefined) publicOnes.push(portMapped);
    for (const endpoint of mapped) {
      publicOnes.push(endpoint);
      if (sources.hardNat && sources.fixedPort && isIpv4(endpoint.address) && ports.ipv4 !== undefined)
        publicOnes.push({ address: endpoint.address, port: ports.ipv4 });
    }
    for (const endpoint of publicOnes) this.#seen.set(formatAddrPort(endpoint), { endpoint, at: now });
    for (const [text, { at }] of this.#seen) if (now - at > REMEMBERED_MS) this.#seen.delete(text);
    const earlier = [...this.#seen.values()].map(({ endpoint }) => endpoint);
    return unique([...publicOnes, ...earlier, ...localEndpoints(sources)]).slice(0, MAX_ENDPOINTS);
  }

  /** The network is another one: what was seen from the old one is worthless. */
  forget(): void {
    this.#seen.clear();
  }
}

/** Loopback addresses only where there is nothing else: two processes on a machine without network. */
function localEndpoints({ local, ports }: EndpointSources): AddrPort[] {
  const all = local.flatMap(({ address, internal }) => {
    const parsed = parseIp(address.split("%")[0]!);
    if (parsed === undefined || !mayProbe(parsed)) return [];
    const port = isIpv4(parsed) ? ports.ipv4 : ports.ipv6;
    if (port === undefined) return [];
    return [{ endpoint: { address: parsed, port }, loopback: internal || addressClass(parsed) === "loopback" }];
  });
  const outside = all.filter(({ loopback }) => !loopback);
  return (outside.length > 0 ? outside : all).map(({ endpoint }) => endpoint);
}

function unique(endpoints: readonly AddrPort[]): AddrPort[] {
  return endpoints.filter((one, i) => endpoints.findIndex((other) => addrPortEqual(one, other)) === i);
}
