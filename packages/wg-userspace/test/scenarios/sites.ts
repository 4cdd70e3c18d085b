/** Sites of a simulated internet by the kind of their router, and whether two of them can connect directly. */
import { type IpAddress, ip } from "../../src/base/ip.ts";
import { nodeCryptoSuite } from "../../src/io/host/crypto-suite.ts";
import type { TcpConnection } from "../../src/netstack/stack.ts";
import {
  Router,
  type RouterOptions,
  type Segment,
  type SegmentOptions,
  VirtualInternet,
} from "../../src/testing/internet.ts";
import { type NodeOptions, type VirtualNode, VirtualTunnel } from "../../src/testing/virtual-tunnel.ts";
import { PatternSink, PatternSource, patternByte } from "./tcp-harness.ts";

export const SITE_KINDS = [
  "public",
  "cone",
  "address-filtered",
  "home",
  "symmetric",
  "blocked",
  "carrier",
  "carrier-symmetric",
  "ipv6-only",
  "dual-stack",
] as const;
export type SiteKind = (typeof SITE_KINDS)[number];

const HOME: RouterOptions = { filtering: "address-and-port-dependent" };
const SYMMETRIC: RouterOptions = {
  mapping: "address-and-port-dependent",
  filtering: "address-and-port-dependent",
  ports: "random",
};
const ROUTERS: Partial<Record<SiteKind, RouterOptions>> = {
  cone: { filtering: "endpoint-independent" },
  "address-filtered": { filtering: "address-dependent" },
  home: HOME,
  symmetric: SYMMETRIC,
  blocked: { udpBlocked: true },
  carrier: HOME,
  "carrier-symmetric": HOME,
  "dual-stack": HOME,
};

export interface Site {
  readonly kind: SiteKind;
  readonly lan: Segment;
  readonly router: Router | undefined;
  /** The carrier's router in front of it, for the kinds that have one. */
  readonly carrier: Router | undefined;
  newAddresses(): IpAddress[];
}

/** One simulated internet with STUN servers and as many sites as wanted. */
export class Sites {
  readonly internet: VirtualInternet;
  readonly net: VirtualTunnel;
  readonly sites: Site[] = [];

  constructor(seed: number, core: SegmentOptions = { delayMs: 10, hops: 1 }) {
    this.internet = new VirtualInternet(seed, core);
    this.net = new VirtualTunnel(this.internet, nodeCryptoSuite);
    this.net.addStunServer(ip("203.0.113.1"));
    this.net.addStunServer(ip("203.0.113.2"));
    this.net.addStunServer(ip("203.0.113.3"));
    this.net.addStunServer(ip("2001:db8:ffff::1"));
  }

  add(kind: SiteKind, overrides: RouterOptions = {}, lanOptions: SegmentOptions = { delayMs: 0.2 }): Site {
    const n = this.sites.length + 1;
    const { internet } = this;
    let host = 9;
    if (kind === "public") {
      const site: Site = {
        kind,
        lan: internet.core,
        router: undefined,
        carrier: undefined,
        newAddresses: () => [ip(`198.51.100.${10 * n + ++host - 9}`)],
      };
      this.sites.push(site);
      return site;
    }
    const lan = internet.segment(`lan${n}`, lanOptions);
    const options = { ...ROUTERS[kind], ...overrides };
    let carrier: Router | undefined;
    let outside = internet.core;
    let outsideAddress = ip(`198.51.100.${10 * n}`);
    if (kind === "carrier" || kind === "carrier-symmetric") {
      outside = internet.segment(`carrier${n}`);
      carrier = new Router(
        outside,
        internet.core,
        ip(`100.64.${n}.1`),
        outsideAddress,
        kind === "carrier" ? HOME : SYMMETRIC,
      );
      outsideAddress = ip(`100.64.${n}.2`);
    }
    const router = new Router(lan, outside, ip(`192.168.${n}.1`), outsideAddress, options);
    const newAddresses = (): IpAddress[] => {
      host++;
      const v4 = ip(`192.168.${n}.${host}`);
      const v6 = ip(`2001:db8:${n}::${host}`);
      if (kind === "ipv6-only" || kind === "dual-stack") router.announce(v6);
      return kind === "ipv6-only" ? [v6] : kind === "dual-stack" ? [v6, v4] : [v4];
    };
    const site: Site = { kind, lan, router, carrier, newAddresses };
    this.sites.push(site);
    return site;
  }

  node(site: Site, options: Partial<NodeOptions> = {}): VirtualNode {
    return this.net.addNode({ segment: site.lan, addresses: site.newAddresses(), ...options });
  }
}

/** The outside appearance of a site's address, composed over its routers. */
interface Reach {
  readonly mapping: "none" | "stable" | "per-destination";
  readonly filtering: "none" | "address" | "address-and-port";
}

function reachV4(kind: SiteKind): Reach | undefined {
  switch (kind) {
    case "public":
      return { mapping: "none", filtering: "none" };
    case "cone":
      return { mapping: "stable", filtering: "none" };
    case "address-filtered":
      return { mapping: "stable", filtering: "address" };
    case "home":
    case "carrier":
    case "dual-stack":
      return { mapping: "stable", filtering: "address-and-port" };
    case "symmetric":
    case "carrier-symmetric":
      return { mapping: "per-destination", filtering: "address-and-port" };
    case "blocked":
    case "ipv6-only":
      return undefined;
  }
}

const hasV6 = (kind: SiteKind): boolean => kind === "ipv6-only" || kind === "dual-stack";

/** The oracle: whether nodes at two different sites can reach each other directly. */
export function canBeDirect(a: SiteKind, b: SiteKind): boolean {
  if (hasV6(a) && hasV6(b)) return true;
  const one = reachV4(a);
  const other = reachV4(b);
  if (one === undefined || other === undefined) return false;
  if (one.mapping === "none" || other.mapping === "none") return true;
  if (one.mapping === "per-destination" && other.mapping === "per-destination") return false;
  if (one.mapping === "per-destination") return other.filtering !== "address-and-port";
  if (other.mapping === "per-destination") return one.filtering !== "address-and-port";
  return true;
}

/** A TCP stream from `from` to `to` with a known pattern. */
export class Transfer {
  readonly sink: { readonly received: number; readonly wrongAt: number; readonly error: string | undefined };
  readonly total: number;
  readonly connection: TcpConnection;

  constructor(net: VirtualTunnel, from: VirtualNode, to: VirtualNode, total: number, seed: number, port = 80) {
    this.total = total;
    let sink: PatternSink | undefined;
    to.engine.netstack.listenTcp(
      { port },
      {
        onRequest: (request) => {
          const accepted = request.accept({}, net.now);
          if (accepted !== undefined) sink = new PatternSink(accepted, seed);
        },
      },
    );
    const connection = from.engine.netstack.connectTcp({ address: to.tunnelAddress, port }, {}, net.now);
    this.connection = connection;
    connection.handler.onConnected = () => new PatternSource(connection, total, seed);
    this.sink = {
      get received() {
        return sink?.received ?? 0;
      },
      get wrongAt() {
        return sink?.wrongAt ?? -1;
      },
      get error() {
        return sink?.error;
      },
    };
  }

  get done(): boolean {
    return this.sink.received >= this.total;
  }
}

/** A program that writes at a steady pace, as a user in a session does, and the times at which its bytes arrived. */
export class Ticker {
  readonly #net: VirtualTunnel;
  readonly #transfer: Transfer;
  #arrived = 0;
  #arrivedAt: number;
  /** Longest time without a new byte since the last {@link resetGap}. */
  longestGapMs = 0;
  #stopped = false;

  constructor(net: VirtualTunnel, from: VirtualNode, to: VirtualNode, port = 99, everyMs = 20, bytes = 1000) {
    this.#net = net;
    this.#arrivedAt = net.now;
    this.#transfer = new Transfer(net, from, to, 0, 1, port);
    let written = 0;
    const connection = this.#transfer.connection;
    connection.handler.onConnected = () => undefined;
    const tick = (): void => {
      if (this.#stopped) return;
      const chunk = Uint8Array.from({ length: bytes }, (_, i) => patternByte(written + i, 1));
      if (connection.open) written += connection.write(chunk);
      if (this.received > this.#arrived) {
        this.#arrived = this.received;
        this.#arrivedAt = net.now;
      }
      this.longestGapMs = Math.max(this.longestGapMs, net.now - this.#arrivedAt);
      net.internet.at(net.now + everyMs, tick);
    };
    tick();
  }

  get received(): number {
    return this.#transfer.sink.received;
  }
  /** Every byte that arrived was the right one. */
  get intact(): boolean {
    return this.#transfer.sink.wrongAt === -1 && this.#transfer.sink.error === undefined;
  }
  resetGap(): void {
    this.longestGapMs = 0;
    this.#arrivedAt = this.#net.now;
  }
  stop(): void {
    this.#stopped = true;
  }
}

export function bothDirect(a: VirtualNode, b: VirtualNode): boolean {
  return a.isDirectTo(b) && b.isDirectTo(a);
}
