/** Which addresses a node publishes, best first: where a peer may reach it. */

import type { Instant } from "wg-userspace/base/instant";
import {
  type AddrPort,
  addrPortEqual,
  formatAddrPort,
  formatIp,
  type IpAddress,
  isIpv4,
  parseIp,
} from "wg-userspace/base/ip";
import { addressClass, mayProbe } from "wg-userspace/magicsock/address-class";

/** A public endpoint that was not seen again is named this much longer. */
const REMEMBERED_MS = 310_000;
const MAX_ENDPOINTS = 32;
/** Public endpoints of earlier that are named beside the present ones: a NAT that changes them often fills no list. */
const MAX_REMEMBERED = 8;
/** Bridges and pairs of container engines and hypervisors: they lead nowhere outside this machine. */
const VIRTUAL_INTERFACE =
  /^(docker|br-|virbr|veth|vnet|cni|cbr|flannel|cali|cilium|kube|lxc|lxd|podman|nerdctl|vmnet|vboxnet|vEthernet|bridge1\d\d)/;

/** One local interface address, as `os.networkInterfaces` reports it. */
export interface LocalAddress {
  /** Name of its interface. */
  readonly interface: string;
  readonly address: string;
  readonly internal: boolean;
}

export interface EndpointSources {
  readonly ports: { readonly ipv4: number | undefined; readonly ipv6: number | undefined };
  readonly local: readonly LocalAddress[];
  /** Our addresses on the default routes and on the routes to the servers we know, the most important first. */
  readonly routed: readonly IpAddress[];
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
    for (const endpoint of publicOnes) {
      const text = formatAddrPort(endpoint);
      this.#seen.delete(text);
      this.#seen.set(text, { endpoint, at: now }); // the order of the map is that of the last sight
    }
    for (const [text, { at }] of this.#seen) if (now - at > REMEMBERED_MS) this.#seen.delete(text);
    const earlier = [...this.#seen.values()].map(({ endpoint }) => endpoint).reverse();
    const present = unique(publicOnes).length;
    earlier.length = Math.min(earlier.length, present + MAX_REMEMBERED);
    return unique([...publicOnes, ...earlier, ...localEndpoints(sources)]).slice(0, MAX_ENDPOINTS);
  }

  /** The network is another one: what was seen from the old one is worthless. */
  forget(): void {
    this.#seen.clear();
  }
}

/** Loopback addresses only where there is nothing else: two processes on a machine without network. */
function localEndpoints({ local, ports, routed }: EndpointSources): AddrPort[] {
  const all = local.flatMap((one) => {
    const address = parseIp(one.address.split("%")[0]!);
    if (address === undefined || !mayProbe(address)) return [];
    const port = isIpv4(address) ? ports.ipv4 : ports.ipv6;
    if (port === undefined) return [];
    const loopback = one.internal || addressClass(address) === "loopback";
    return [{ endpoint: { address, port }, interface: one.interface, loopback }];
  });
  const outside = all.filter(({ loopback }) => !loopback);
  const usable = outside.length > 0 ? outside : all;
  // The list is cut: what leads somewhere goes first, the machine's own bridges last. Between equals every interface names
  // one address of each family before any names a second one.
  const onRoute = routed.map(formatIp);
  const count = new Map<string, number>();
  return usable
    .map((one, index) => {
      const route = onRoute.indexOf(formatIp(one.endpoint.address));
      const kind = `${one.interface} ${one.endpoint.address.length}`;
      const nth = count.get(kind) ?? 0;
      count.set(kind, nth + 1);
      const rank = route >= 0 ? 0 : VIRTUAL_INTERFACE.test(one.interface) ? 2 : 1;
      return { endpoint: one.endpoint, rank, order: route >= 0 ? route : nth, index };
    })
    .sort((a, b) => a.rank - b.rank || a.order - b.order || a.index - b.index)
    .map(({ endpoint }) => endpoint);
}

function unique(endpoints: readonly AddrPort[]): AddrPort[] {
  return endpoints.filter((one, i) => endpoints.findIndex((other) => addrPortEqual(one, other)) === i);
}
