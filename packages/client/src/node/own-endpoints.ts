/** Which endpoints a node publishes, best first. */

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

/** How long a public endpoint stays published after it was last seen. */
const REMEMBERED_MS = 310_000;
const MAX_ENDPOINTS = 32;
/**
 * Limit of earlier public endpoints that are published beside the present ones, so that a NAT which changes them often cannot
 * fill the list.
 */
const MAX_REMEMBERED = 8;
/** Bridges and virtual Ethernet pairs of container engines and hypervisors, which lead nowhere outside this machine. */
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
  /** Our addresses on the default routes and on the routes to known servers, the most important first. */
  readonly routed: readonly IpAddress[];
  /** Endpoints that STUN servers saw, IPv4 first. */
  readonly mapped: readonly AddrPort[];
  /** A port that the router forwards to us. */
  readonly portMapped: AddrPort | undefined;
  /** The NAT uses another port for every destination, so the mapped ports are of little use. */
  readonly hardNat: boolean;
  /** The administrator chose the local port, perhaps because the router forwards it. */
  readonly fixedPort: boolean;
}

export class OwnEndpoints {
  /** Public endpoints by text, with the time they were last seen. */
  readonly #seen = new Map<string, { readonly endpoint: AddrPort; at: Instant }>();

  /** The list to publish now. */
  list(sources: EndpointSources, now: Instant): AddrPort[] {
    const { ports, portMapped } = sources;
    // A STUN server on this machine sees an address that means nothing elsewhere.
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
      this.#seen.set(text, { endpoint, at: now }); // keeps the map in the order of last sight
    }
    for (const [text, { at }] of this.#seen) if (now - at > REMEMBERED_MS) this.#seen.delete(text);
    const earlier = [...this.#seen.values()].map(({ endpoint }) => endpoint).reverse();
    const present = unique(publicOnes).length;
    earlier.length = Math.min(earlier.length, present + MAX_REMEMBERED);
    return unique([...publicOnes, ...earlier, ...localEndpoints(sources)]).slice(0, MAX_ENDPOINTS);
  }

  /** The network has changed: endpoints seen from the old one are worthless. */
  forget(): void {
    this.#seen.clear();
  }
}

/** Loopback addresses count only where there is nothing else, as for two processes on a machine without a network. */
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
  // The list is cut, so addresses on routes come first and the machine's own bridges last. Between equals, every interface names
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
