/**
 * A simulated internet for UDP in virtual time: hosts, LANs, NAT routers (RFC 4787 behaviours), firewalls, transit with
 * delay, loss and an MTU. Repeatable: everything random comes from one seed. Nothing here knows what the datagrams say.
 */
import { type Instant, instant } from "../base/instant.ts";
import { type AddrPort, formatAddrPort, formatIp, type IpAddress, ip, isIpv4 } from "../base/ip.ts";
import { LinkRandom } from "./link.ts";

export interface Datagram {
  readonly from: AddrPort;
  readonly to: AddrPort;
  readonly payload: Uint8Array;
  ttl: number;
}

/** A receiver of datagrams. */
export interface Attached {
  receive(datagram: Datagram, via: Segment): void;
}

export type Mapping = "endpoint-independent" | "address-dependent" | "address-and-port-dependent";

export interface RouterOptions {
  /** How many outside ports one inside port gets. */
  readonly mapping?: Mapping;
  /** Who may send in through a mapping. */
  readonly filtering?: Mapping;
  /** Outside ports: the inside one if free, the next one, or any. */
  readonly ports?: "preserved" | "sequential" | "random";
  /** Outside ports are drawn from this many, starting at 40000. */
  readonly pool?: number;
  readonly expiryMs?: number;
  readonly hairpin?: boolean;
  readonly udpBlocked?: boolean;
  /**
   * The router itself accepts datagrams to its outside address, as a Linux host that masquerades without a firewall does: a
   * flow it recorded as its own cannot be used by an inside host, which gets another port.
   */
  readonly openInput?: boolean;
}

export interface SegmentOptions {
  readonly delayMs?: number;
  readonly jitterMs?: number;
  /** Probability that a datagram vanishes. */
  readonly loss?: number;
  /** Largest IP packet; larger ones vanish. */
  readonly mtu?: number;
  /** Routers on the way, which count down the hop limit. */
  readonly hops?: number;
}

export class VirtualInternet {
  readonly random: LinkRandom;
  now: Instant = instant(1_000_000);
  /** The core: all public addresses. */
  readonly core: Segment;
  /** Sees every datagram that is handed over, for captures. */
  onDatagram: ((datagram: Datagram, where: string, now: Instant) => void) | undefined;
  readonly #events: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  #order = 0;

  constructor(seed: number, core: SegmentOptions = { delayMs: 10, hops: 1 }) {
    this.random = new LinkRandom(seed);
    this.core = new Segment(this, "core", core);
  }

  segment(name: string, options: SegmentOptions = { delayMs: 0.2 }): Segment {
    return new Segment(this, name, options);
  }

  at(at: number, run: () => void): void {
    const event = { at, order: this.#order++, run };
    let index = this.#events.length;
    while (index > 0 && this.#events[index - 1]!.at > at) index--;
    this.#events.splice(index, 0, event);
  }

  nextEvent(): number {
    return this.#events[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /** Runs what is due at `now`. */
  runDue(): void {
    while (this.#events.length > 0 && this.#events[0]!.at <= this.now) this.#events.shift()!.run();
  }
}

/** One network: attached hosts are reached by address, everything else goes to the gateway. */
export class Segment {
  options: SegmentOptions;
  readonly name: string;
  readonly internet: VirtualInternet;
  readonly #attached = new Map<string, Attached>();
  gateway: Attached | undefined;

  constructor(internet: VirtualInternet, name: string, options: SegmentOptions) {
    this.internet = internet;
    this.name = name;
    this.options = options;
  }

  attach(address: IpAddress, who: Attached): void {
    this.#attached.set(formatIp(address), who);
  }

  detach(address: IpAddress): void {
    this.#attached.delete(formatIp(address));
  }

  has(address: IpAddress): boolean {
    return this.#attached.has(formatIp(address));
  }

  send(datagram: Datagram): void {
    const { internet, options } = this;
    const headers = isIpv4(datagram.to.address) ? 28 : 48;
    if (datagram.payload.length + headers > (options.mtu ?? 1500)) return;
    if (internet.random.fraction() < (options.loss ?? 0)) return;
    if (datagram.ttl <= (options.hops ?? 0)) return;
    datagram.ttl -= options.hops ?? 0;
    const target = this.#attached.get(formatIp(datagram.to.address)) ?? this.gateway;
    if (target === undefined) return;
    const delay = (options.delayMs ?? 0) + internet.random.fraction() * (options.jitterMs ?? 0);
    internet.at(internet.now + delay, () => {
      internet.onDatagram?.(datagram, this.name, internet.now);
      target.receive(datagram, this);
    });
  }
}

/** A token bucket that drops what is beyond it: what operators do to UDP. */
export interface Policer {
  readonly bitsPerSecond: number;
  readonly burstBytes: number;
}

/** A firewall that silences a flow once it lasted or carried this much, for as long as the flow is used. */
export interface FlowLimit {
  readonly packets?: number;
  readonly ms?: number;
}

interface NatEntry {
  readonly inside: AddrPort;
  readonly outsidePort: number;
  /** Whom the inside host sent to through it, and when: text of address, and of address with port. */
  readonly sentTo: Map<string, number>;
  lastUsedAt: number;
}

/** A flow that is not used for this long counts as a new one for a {@link FlowLimit}. */
const FLOW_IDLE_MS = 1_000;

/** A NAT for IPv4 and a stateful firewall for IPv6 between one inside and one outside segment. */
export class Router implements Attached {
  options: RouterOptions;
  readonly inside: Segment;
  readonly outside: Segment;
  outsideAddress: IpAddress;
  /** Share of what comes from outside that vanishes. */
  inboundLoss = 0;
  /** The outside senders that may send in at all; all by default. */
  inboundFilter: (from: AddrPort) => boolean = () => true;
  /** Applies to datagrams from outside. */
  policer: Policer | undefined;
  /** Applies to flows between an inside port and an outside endpoint. */
  flowLimit: FlowLimit | undefined;
  #policerTokens = 0;
  #policerAt = Number.NEGATIVE_INFINITY;
  readonly #flows = new Map<string, { readonly since: number; packets: number; usedAt: number }>();
  readonly #internet: VirtualInternet;
  /** By inside endpoint and the part of the destination on which the mapping depends. */
  readonly #mappings = new Map<string, NatEntry>();
  readonly #byPort = new Map<number, NatEntry>();
  /** IPv6 flows let in: inside|outside → last outgoing. */
  readonly #flows6 = new Map<string, number>();
  /** Flows recorded as the router's own: outside endpoint and port. */
  readonly #ownFlows = new Map<string, number>();
  #nextPort = 40_000;

  constructor(
    inside: Segment,
    outside: Segment,
    insideAddress: IpAddress,
    outsideAddress: IpAddress,
    options: RouterOptions,
  ) {
    this.#internet = inside.internet;
    this.inside = inside;
    this.outside = outside;
    this.outsideAddress = outsideAddress;
    this.options = options;
    inside.gateway = this;
    inside.attach(insideAddress, this);
    outside.attach(outsideAddress, this);
  }

  /** Announces an inside IPv6 host outside: no translation, only the firewall. */
  announce(address: IpAddress): void {
    this.outside.attach(address, this);
  }

  /** The router restarts: every mapping is gone. */
  flush(): void {
    this.#mappings.clear();
    this.#byPort.clear();
    this.#flows6.clear();
    this.#ownFlows.clear();
  }

  renumber(outsideAddress: IpAddress): void {
    this.outside.detach(this.outsideAddress);
    this.outsideAddress = outsideAddress;
    this.outside.attach(outsideAddress, this);
    this.flush();
  }

  receive(datagram: Datagram, via: Segment): void {
    if (this.options.udpBlocked || this.#drops(datagram, via)) return;
    if (!isIpv4(datagram.to.address)) this.#forward6(datagram, via);
    else if (via === this.inside) this.#outward(datagram);
    else this.#inward(datagram);
  }

  #drops(datagram: Datagram, via: Segment): boolean {
    const inward = via !== this.inside;
    if (inward && !this.inboundFilter(datagram.from)) return true;
    if (inward && this.inboundLoss > 0 && this.#internet.random.fraction() < this.inboundLoss) return true;
    if (inward && this.policer !== undefined && !this.#conforms(this.policer, datagram)) return true;
    return this.flowLimit !== undefined && this.#isSilenced(this.flowLimit, inward ? datagram.from : datagram.to);
  }

  #conforms({ bitsPerSecond, burstBytes }: Policer, datagram: Datagram): boolean {
    const { now } = this.#internet;
    const refill = ((now - this.#policerAt) * bitsPerSecond) / 8000;
    this.#policerTokens = Math.min(burstBytes, this.#policerTokens + refill);
    this.#policerAt = now;
    if (datagram.payload.length > this.#policerTokens) return false;
    this.#policerTokens -= datagram.payload.length;
    return true;
  }

  #isSilenced(limit: FlowLimit, remote: AddrPort): boolean {
    const { now } = this.#internet;
    const key = formatAddrPort(remote);
    let flow = this.#flows.get(key);
    if (flow === undefined || now - flow.usedAt > FLOW_IDLE_MS) {
      flow = { since: now, packets: 0, usedAt: now };
      this.#flows.set(key, flow);
    }
    flow.usedAt = now;
    flow.packets++;
    return (
      flow.packets > (limit.packets ?? Number.POSITIVE_INFINITY) ||
      now - flow.since > (limit.ms ?? Number.POSITIVE_INFINITY)
    );
  }

  #outward(datagram: Datagram): void {
    if (--datagram.ttl <= 0) return;
    const toSelf = formatIp(datagram.to.address) === formatIp(this.outsideAddress);
    if (toSelf && !this.options.hairpin) return;
    const entry = this.#mappingFor(datagram.from, datagram.to);
    const now = this.#internet.now;
    entry.lastUsedAt = now;
    entry.sentTo.set(formatIp(datagram.to.address), now);
    entry.sentTo.set(formatAddrPort(datagram.to), now);
    const translated = { ...datagram, from: { address: this.outsideAddress, port: entry.outsidePort } };
    if (toSelf) this.#inward(translated);
    else this.outside.send(translated);
  }

  #inward(datagram: Datagram): void {
    const entry = this.#byPort.get(datagram.to.port);
    const live = entry !== undefined && !this.#expired(entry.lastUsedAt);
    if (!live || !this.#admits(entry, datagram.from)) {
      if (this.options.openInput) this.#ownFlows.set(ownFlow(datagram.from, datagram.to.port), this.#internet.now);
      return;
    }
    if (--datagram.ttl <= 0) return;
    entry.lastUsedAt = this.#internet.now;
    this.inside.send({ ...datagram, to: entry.inside });
  }

  #admits(entry: NatEntry, from: AddrPort): boolean {
    const filtering = this.options.filtering ?? "address-and-port-dependent";
    if (filtering === "endpoint-independent") return true;
    const key = filtering === "address-dependent" ? formatIp(from.address) : formatAddrPort(from);
    const sentAt = entry.sentTo.get(key);
    return sentAt !== undefined;
  }

  #mappingFor(inside: AddrPort, to: AddrPort): NatEntry {
    const base = formatAddrPort(inside);
    const mapping = this.options.mapping ?? "endpoint-independent";
    let key = base;
    if (mapping === "address-dependent") key = `${base}>${formatIp(to.address)}`;
    if (mapping === "address-and-port-dependent") key = `${base}>${formatAddrPort(to)}`;
    let entry = this.#mappings.get(key);
    // A flow that the router holds as its own blocks the same port for others.
    const clashes = (port: number): boolean => {
      const at = this.#ownFlows.get(ownFlow(to, port));
      return at !== undefined && this.#internet.now - at < 30_000;
    };
    if (entry !== undefined && clashes(entry.outsidePort)) {
      key = `${base}>${formatAddrPort(to)}`;
      entry = this.#mappings.get(key);
    }
    if (entry !== undefined && !this.#expired(entry.lastUsedAt)) return entry;
    if (entry !== undefined) this.#byPort.delete(entry.outsidePort);
    entry = {
      inside,
      outsidePort: this.#allocate(inside.port, clashes),
      sentTo: new Map(),
      lastUsedAt: this.#internet.now,
    };
    this.#mappings.set(key, entry);
    this.#byPort.set(entry.outsidePort, entry);
    return entry;
  }

  #allocate(wanted: number, clashes: (port: number) => boolean): number {
    const free = (port: number): boolean => {
      const holder = this.#byPort.get(port);
      return (holder === undefined || this.#expired(holder.lastUsedAt)) && !clashes(port);
    };
    const policy = this.options.ports ?? "preserved";
    if (policy === "preserved" && free(wanted)) return wanted;
    for (;;) {
      const port =
        policy === "sequential"
          ? this.#nextPort++
          : (this.options.pool === undefined ? 1024 : 40_000) +
            (this.#internet.random.uint32() % (this.options.pool ?? 60_000));
      if (free(port)) return port;
    }
  }

  #expired(at: number): boolean {
    return this.#internet.now - at > (this.options.expiryMs ?? 120_000);
  }

  #forward6(datagram: Datagram, via: Segment): void {
    if (--datagram.ttl <= 0) return;
    if (via === this.inside) {
      this.#flows6.set(`${formatAddrPort(datagram.from)}|${formatAddrPort(datagram.to)}`, this.#internet.now);
      this.outside.send(datagram);
      return;
    }
    const key = `${formatAddrPort(datagram.to)}|${formatAddrPort(datagram.from)}`;
    const at = this.#flows6.get(key);
    if (at === undefined || this.#expired(at)) return;
    this.#flows6.set(key, this.#internet.now);
    this.inside.send(datagram);
  }
}

function ownFlow(remote: AddrPort, port: number): string {
  return `${formatAddrPort(remote)}|${port}`;
}

/** A machine on a segment with one UDP port. */
export class UdpHost implements Attached {
  segment: Segment;
  addresses: IpAddress[];
  port: number;
  /** Frozen: everything that arrives is lost, as for a suspended machine. */
  frozen = false;
  onDatagram: (payload: Uint8Array, from: AddrPort) => void = () => undefined;

  constructor(segment: Segment, addresses: readonly IpAddress[], port: number) {
    this.segment = segment;
    this.addresses = [...addresses];
    this.port = port;
    for (const address of addresses) segment.attach(address, this);
  }

  /** Sends from the address of the destination's family; false when there is none. */
  send(to: AddrPort, payload: Uint8Array, ttl = 64): boolean {
    const address = this.addresses.find((one) => one.length === to.address.length);
    if (address === undefined) return false;
    this.segment.send({ from: { address, port: this.port }, to, payload: payload.slice(), ttl });
    return true;
  }

  receive(datagram: Datagram): void {
    if (this.frozen || datagram.to.port !== this.port) return;
    this.onDatagram(datagram.payload, datagram.from);
  }

  /** Moves to another network or address. */
  move(segment: Segment, addresses: readonly IpAddress[]): void {
    for (const address of this.addresses) this.segment.detach(address);
    this.segment = segment;
    this.addresses = [...addresses];
    for (const address of addresses) segment.attach(address, this);
  }
}

export const publicIp = (n: number): IpAddress => ip(`198.51.${100 + (n >> 8)}.${n & 255}`);
