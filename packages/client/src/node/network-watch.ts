/**
 * Keeps a node's knowledge of its own network fresh: public addresses by STUN, port mappings, latencies of relays. Measures at
 * start, when the network or the relay map changes, and while peers may look for a direct path.
 */
import { networkInterfaces } from "node:os";
import { type AddrPort, formatAddrPort, formatIp, type IpAddress, ip, isIpv4 } from "wg-userspace/base/ip";
import { type Logger, silentLogger } from "wg-userspace/base/ports";
import { type DerpMap, derpMapToJson } from "wg-userspace/derp/map";
import type { Driver } from "wg-userspace/io/driver";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { sourceAddressTowards } from "wg-userspace/io/host/source-address";
import { runNetcheck } from "wg-userspace/io/probe/netcheck";
import { PortMapper } from "wg-userspace/io/probe/port-mapper";
import { predictPorts } from "wg-userspace/netcheck/port-prediction";
import type { NetReport } from "wg-userspace/netcheck/report";
import type { Deployment } from "../rest/deployment.ts";
import { OwnEndpoints } from "./own-endpoints.ts";

/** Interval while peers look for the node; randomised, so that many nodes do not ask at once. */
const ACTIVE_INTERVAL_MS = 20_000;
const ACTIVE_SPREAD_MS = 6_000;
const IDLE_INTERVAL_MS = 5 * 60_000;
/** Mappings older than this may be gone from the router, so they are checked before a peer arrives. */
const FRESH_MS = 27_000;
/** Like FRESH_MS, for a silent path: when several fall silent at once, the first causes one run for all. */
const DOUBT_GAP_MS = 3_000;
/** Interval of complete measurements: networks change, and a home that became slow should not stay the home. */
const FULL_INTERVAL_MS = 5 * 60_000;
/** Addresses to which only the default route applies (RFC 5737, RFC 3849). */
const ANYWHERE = [ip("192.0.2.1"), ip("2001:db8::1")];
const MAX_ROUTED_SERVERS = 6;

export interface NetworkWatchOptions {
  readonly driver: Driver;
  readonly deployment: Deployment;
  /** No direct paths: STUN servers are not asked and no endpoint is published. */
  readonly blockDirect: boolean;
  readonly fixedPort: boolean;
  /**
   * Whether there are peers without a direct path: mappings are then checked more often. A path in use keeps its own mapping and
   * asks for a check when it falls silent; so does a new peer.
   */
  readonly isLookedFor: () => boolean;
  /** `guesses`: ports that a hard NAT with a predictable pattern may use for the next peer. */
  readonly onEndpoints: (endpoints: readonly AddrPort[], guesses: readonly AddrPort[]) => void;
  /** Latencies are empty when nothing could be measured. */
  readonly onLatencies: (latencyMs: ReadonlyMap<number, number>) => void;
  readonly logger?: Logger | undefined;
}

export class NetworkWatch {
  readonly #options: NetworkWatchOptions;
  readonly #logger: Logger;
  readonly #endpoints = new OwnEndpoints();
  #map: DerpMap | undefined;
  #mapText = "";
  #report: NetReport | undefined;
  #published = "";
  #mapped: readonly AddrPort[] = [];
  /** See {@link EndpointSources.routed}. */
  #routed: readonly IpAddress[] = [];
  #running = new AbortController();
  /** Created when a port mapping is first wanted. */
  #portMapper: PortMapper | undefined;
  #timer: NodeJS.Timeout | undefined;
  #startedAt = Number.NEGATIVE_INFINITY;
  #fullAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: NetworkWatchOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
  }

  /** The last finished report. */
  get report(): NetReport | undefined {
    return this.#report && { ...this.#report, ...this.#portMapper?.seen };
  }

  /**
   * Asks the router to forward our port, because direct paths are hard to find. Does nothing where public addresses are not
   * wanted at all, that is, where the relay map has no STUN server.
   */
  wantPortMapping(): void {
    const hasStun = [...(this.#map?.regions.values() ?? [])].some(({ nodes }) =>
      nodes.some((node) => node.stunPort >= 0),
    );
    if (this.#portMapper !== undefined || this.#options.blockDirect || !hasStun || this.#closed) return;
    this.#portMapper = new PortMapper({
      localPort: () => this.#options.driver.udpPorts.ipv4,
      logger: this.#logger,
      onChange: () => this.#publish(),
    });
    void this.#portMapper.refresh(); // never rejects
  }

  setMap(map: DerpMap): void {
    const text = JSON.stringify(derpMapToJson(map));
    if (text === this.#mapText) return;
    this.#mapText = text;
    this.#map = map;
    this.#fullAt = Number.NEGATIVE_INFINITY;
    this.#publish();
    this.#start();
  }

  /**
   * @param moved Earlier knowledge is invalid, not merely incomplete: addresses went, the port has changed, or the machine slept.
   */
  networkChanged(moved: boolean): void {
    if (moved) {
      this.#endpoints.forget();
      this.#mapped = [];
      this.#report = undefined;
    }
    this.#fullAt = Number.NEGATIVE_INFINITY;
    void this.#portMapper?.refresh(); // never rejects
    this.#publish();
    this.#start();
  }

  /** A peer is about to look for us, so the published endpoints should be up to date. */
  freshen(): void {
    if (monotonicNow() - this.#startedAt > FRESH_MS) this.#start();
    else this.#startLater();
  }

  /** A direct path fell silent. If a router restarted, our public endpoints have changed, and peers must learn that at once. */
  doubtMappings(): void {
    if (monotonicNow() - this.#startedAt > DOUBT_GAP_MS) this.#start();
    else this.#startLater();
  }

  /** Removes a port mapping, for which the router gets half a second. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#running.abort();
    await this.#portMapper?.[Symbol.asyncDispose]();
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#running.abort();
    if (this.#closed || this.#map === undefined) return;
    this.#running = new AbortController();
    this.#startedAt = monotonicNow();
    const { signal } = this.#running;
    this.#run(this.#map, signal).catch((error: unknown) => {
      if (signal.aborted) return; // another run has begun
      this.#logger.log("warn", "network check failed, it is repeated later", { error: String(error) });
      this.#startLater();
    });
  }

  /** Does a complete run on request. Rejects with `signal.reason`, or when there is no relay map yet. */
  async check(signal: AbortSignal): Promise<NetReport> {
    if (this.#map === undefined) throw new Error("there is no relay map yet");
    return runNetcheck({
      ...(await this.#netcheckOptions(this.#map, signal)),
      full: true,
      measureRelays: true,
      hairpin: true,
    });
  }

  async #netcheckOptions(map: DerpMap, signal: AbortSignal) {
    const { deployment, driver, blockDirect } = this.#options;
    const { ipv4, ipv6 } = driver.udpPorts;
    return {
      map,
      socket: blockDirect
        ? undefined
        : {
            families: { ipv4: ipv4 !== undefined, ipv6: ipv6 !== undefined },
            send: (to: AddrPort, bytes: Uint8Array) => driver.sendStun(to, bytes),
            onStun: (listener: (datagram: Uint8Array) => void) => driver.onStun(listener),
          },
      dialer: deployment.dialer,
      headers: await deployment.extraHeaders(),
      signal,
      logger: this.#logger,
    };
  }

  async #run(map: DerpMap, signal: AbortSignal): Promise<void> {
    const full = monotonicNow() - this.#fullAt > FULL_INTERVAL_MS;
    await this.#findRoutes();
    const seen: AddrPort[] = [];
    const report = await runNetcheck({
      ...(await this.#netcheckOptions(map, signal)),
      previous: this.#report,
      full,
      hairpin: full,
      measureRelays: full,
      onMapped: (mapped) => {
        seen.push(mapped);
        // The first answer is published at once; the endpoint it replaces stays published until the run has ended.
        this.#mapped = [...seen, ...this.#mapped];
        this.#publish();
      },
    });
    if (signal.aborted) return;
    this.#report = report;
    await this.#findRoutes();
    if (signal.aborted) return;
    if (report.mappingVariesByDestIp === true) this.wantPortMapping();
    this.#mapped = seen;
    this.#publish();
    if (full) {
      this.#fullAt = monotonicNow();
      this.#options.onLatencies(report.regionLatencyMs);
    }
    this.#startLater();
  }

  #startLater(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const wait = this.#options.isLookedFor() ? ACTIVE_INTERVAL_MS + Math.random() * ACTIVE_SPREAD_MS : IDLE_INTERVAL_MS;
    this.#timer = setTimeout(() => this.#start(), wait);
    this.#timer.unref();
  }

  /** Finds the source addresses of our packets: towards the default route, and towards the servers that answered the last run. */
  async #findRoutes(): Promise<void> {
    const servers = (this.#report?.observations ?? []).slice(0, MAX_ROUTED_SERVERS).map(({ server }) => server.address);
    const found = await Promise.all([...ANYWHERE, ...servers].map(sourceAddressTowards));
    const byText = new Map(found.flatMap((address) => (address === undefined ? [] : [[formatIp(address), address]])));
    this.#routed = [...byText.values()];
  }

  #publish(): void {
    if (this.#options.blockDirect || this.#closed) return;
    const endpoints = this.#endpoints.list(
      {
        ports: this.#options.driver.udpPorts,
        local: Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
          (addresses ?? []).map(({ address, internal }) => ({ interface: name, address, internal })),
        ),
        routed: this.#routed,
        mapped: this.#mapped,
        portMapped: this.#portMapper?.external,
        hardNat: this.#report?.mappingVariesByDestIp ?? false,
        fixedPort: this.#options.fixedPort,
      },
      monotonicNow(),
    );
    const guesses = this.#guesses();
    const text = [...endpoints, ...guesses].map(formatAddrPort).join();
    if (text === this.#published) return;
    this.#published = text;
    this.#options.onEndpoints(endpoints, guesses);
  }

  #guesses(): AddrPort[] {
    const v4 = (this.#report?.observations ?? []).flatMap(({ mapped }) => (isIpv4(mapped.address) ? [mapped] : []));
    return predictPorts(v4.map(({ port }) => port)).map((port) => ({ address: v4[0]!.address, port }));
  }
}
