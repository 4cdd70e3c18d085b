import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { deadline, onAbort, once, sleep } from "../../async/abort.ts";
import { bytesEqual } from "../../base/bytes.ts";
import { type AddrPort, formatIp, isIpv4 } from "../../base/ip.ts";
import { type Logger, silentLogger } from "../../base/ports.ts";
import { type DerpMap, hasRelay, type RegionId } from "../../derp/map.ts";
import { probePlan } from "../../netcheck/plan.ts";
import type { NetReport, StunObservation } from "../../netcheck/report.ts";
import { mappingVaries, StunRun } from "../../netcheck/stun-run.ts";
import { encodeBindingRequest, looksLikeStun } from "../../stun/message.ts";
import { monotonicNow } from "../host/clock.ts";
import { nodeRandom } from "../host/crypto-suite.ts";
import { optionalNames } from "../host/optional-names.ts";
import type { RelayDialer } from "../relay/relay-dialer.ts";
import { measureLatency } from "../relay/relay-latency.ts";
import { findStunServers, type StunNames } from "./stun-targets.ts";

const DEFAULT_LIMIT_MS = 5_000;
const HAIRPIN_MS = 100;

/** The part of the measured socket that a network check uses. */
export interface StunSocket {
  /** Families the socket can send to. */
  readonly families: { readonly ipv4: boolean; readonly ipv6: boolean };
  /** Sends from the same socket that carries WireGuard; throws nothing. */
  send(to: AddrPort, packet: Uint8Array): void;
  /**
   * Calls `listener` for every STUN message of the socket until the returned function is called. `datagram` is
   * borrowed.
   */
  onStun(listener: (datagram: Uint8Array) => void): () => void;
}

export interface NetcheckOptions {
  readonly map: DerpMap;
  /** Undefined if UDP is not wanted: then only relays are measured. */
  readonly socket: StunSocket | undefined;
  readonly previous?: NetReport | undefined;
  /** Probe every STUN server instead of the nearest few. */
  readonly full?: boolean;
  readonly dialer: RelayDialer;
  readonly headers?: Readonly<Record<string, string>>;
  /** Measure relay latency by HTTP, at the same time. */
  readonly measureRelays: boolean;
  /** Whether our own public address can be reached from inside. */
  readonly hairpin?: boolean;
  /** How names of STUN servers are resolved; default: by {@link optionalNames}. */
  readonly resolveName?: StunNames["resolve"];
  /** Limit of the whole run, ms. */
  readonly limitMs?: number;
  /** Called as soon as a mapping is known, long before the run ends. */
  readonly onMapped?: (mapped: AddrPort) => void;
  readonly signal: AbortSignal;
  readonly logger?: Logger;
}

/** Checks the network. Ends at the limit with what is known by then; rejects only with `signal.reason`. */
export async function runNetcheck(options: NetcheckOptions): Promise<NetReport> {
  options.signal.throwIfAborted();
  const signal = deadline(options.limitMs ?? DEFAULT_LIMIT_MS, options.signal);
  const [stun, latencyMs] = await Promise.all([askStun(options, signal), measureRelays(options, signal)]);
  options.signal.throwIfAborted();
  const v4 = stun.observations.filter(({ mapped }) => isIpv4(mapped.address));
  const v6 = stun.observations.filter(({ mapped }) => !isIpv4(mapped.address));
  const kept = options.measureRelays ? latencyMs : (options.previous?.regionLatencyMs ?? new Map());
  return {
    udp: stun.observations.length > 0,
    ipv4: v4.length > 0,
    ipv6: v6.length > 0,
    ipv4CanSend: stun.sent.ipv4,
    ipv6CanSend: stun.sent.ipv6,
    osHasIpv6: hasIpv6(),
    icmpv4: false,
    mappingVariesByDestIp: mappingVaries(stun.observations) ?? options.previous?.mappingVariesByDestIp,
    hairPinning: stun.hairPinning ?? options.previous?.hairPinning,
    upnp: options.previous?.upnp,
    pmp: options.previous?.pmp,
    pcp: options.previous?.pcp,
    captivePortal: undefined,
    preferredDerp: nearest(kept),
    regionLatencyMs: kept,
    regionV4LatencyMs: kept,
    regionV6LatencyMs: new Map(),
    globalV4: v4[0]?.mapped,
    globalV6: v6[0]?.mapped,
    observations: stun.observations,
    unresolvedNames: stun.unresolvedNames,
  };
}

interface StunResult {
  readonly observations: readonly StunObservation[];
  readonly sent: { readonly ipv4: boolean; readonly ipv6: boolean };
  readonly hairPinning: boolean | undefined;
  readonly unresolvedNames: readonly string[];
}

async function askStun(options: NetcheckOptions, signal: AbortSignal): Promise<StunResult> {
  const { map, socket, previous, full = true } = options;
  if (socket === undefined)
    return { observations: [], sent: { ipv4: false, ipv6: false }, hairPinning: undefined, unresolvedNames: [] };
  const plan = probePlan(map, {
    families: { ipv4: socket.families.ipv4, ipv6: socket.families.ipv6 && hasIpv6() },
    full: full || previous === undefined,
    latencyMs: previous?.regionLatencyMs ?? new Map(),
    ipv6Worked: previous?.ipv6 ?? true,
    home: previous?.preferredDerp ?? 0,
  });
  const observations: StunObservation[] = [];
  const { promise: progress, resolve: done } = Promise.withResolvers<void>();
  const run = new StunRun(
    plan,
    nodeRandom,
    {
      send: (to, packet) => socket.send(to, packet),
      observed: (observation) => {
        observations.push(observation);
        options.onMapped?.(observation.mapped);
      },
    },
    monotonicNow(),
  );
  let timer: NodeJS.Timeout | undefined;
  const step = (): void => {
    clearTimeout(timer);
    const now = monotonicNow();
    run.handleTimeout(now);
    if (run.isDone(now) || signal.aborted) done();
    else timer = setTimeout(step, Math.max(1, run.nextTimeout() - now));
  };
  const stop = socket.onStun((datagram) => {
    run.handleStun(datagram, monotonicNow());
    step();
  });
  const unwatch = onAbort(signal, step);
  const resolving = new AbortController();
  const names: StunNames = {
    knownAddresses: (host) => options.dialer.addressesOf?.(host) ?? [],
    resolve: options.resolveName ?? ((name, until) => optionalNames.resolve(name, until)),
  };
  try {
    const finding = findStunServers(
      map,
      (server) => {
        run.addServer(server, monotonicNow());
        step();
      },
      AbortSignal.any([signal, resolving.signal]),
      names,
    ).then((unresolved) => {
      run.allServersKnown(monotonicNow());
      step();
      return unresolved;
    });
    step();
    await progress;
    resolving.abort();
    const unresolvedNames = await finding;
    const first = observations.find(({ mapped }) => isIpv4(mapped.address));
    const hairPinning = options.hairpin && first !== undefined ? await tryHairpin(socket, first.mapped) : undefined;
    return { observations, sent: run.sent, hairPinning, unresolvedNames };
  } finally {
    resolving.abort();
    clearTimeout(timer);
    stop();
    unwatch();
  }
}

/**
 * Sends a STUN request from a second socket to our public address, to see whether the router turns it around to the
 * first one.
 */
async function tryHairpin(socket: StunSocket, ownPublic: AddrPort): Promise<boolean> {
  const second = createSocket("udp4");
  const id = nodeRandom.bytes(12);
  const request = encodeBindingRequest(id);
  let seen = false;
  const stop = socket.onStun((datagram) => {
    seen ||= bytesEqual(datagram, request);
  });
  second.on("error", () => undefined); // failing to send means "no"
  try {
    await new Promise<void>((resolve) => {
      second.send(request, ownPublic.port, formatIp(ownPublic.address), () => resolve());
    });
    await sleep(HAIRPIN_MS);
  } finally {
    stop();
    second.close();
  }
  return seen;
}

async function measureRelays(options: NetcheckOptions, signal: AbortSignal): Promise<ReadonlyMap<RegionId, number>> {
  const latencyMs = new Map<RegionId, number>();
  if (!options.measureRelays) return latencyMs;
  const { dialer, headers = {}, logger = silentLogger } = options;
  await Promise.all(
    [...options.map.regions.values()].filter(hasRelay).map(async (region) => {
      try {
        latencyMs.set(region.regionId, await measureLatency(region, { dialer, headers, signal }));
      } catch (error) {
        logger.log("debug", "relay not measured", { region: region.regionId, error: String(error) });
      }
    }),
  );
  return latencyMs;
}

function nearest(latencyMs: ReadonlyMap<RegionId, number>): RegionId {
  let best = 0;
  for (const [region, ms] of latencyMs) if (best === 0 || ms < latencyMs.get(best)!) best = region;
  return best;
}

/** Whether the machine has an IPv6 address that can reach other networks. */
function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ family, internal, address }) => family === "IPv6" && !internal && !address.startsWith("fe80:")),
  );
}

/** A socket for a check without a tunnel. */
export async function bindStunSocket(port = 0): Promise<StunSocket & AsyncDisposable> {
  const listeners = new Set<(datagram: Uint8Array) => void>();
  const bind = async (type: "udp4" | "udp6"): Promise<Socket | undefined> => {
    const socket = createSocket({ type, ipv6Only: type === "udp6" });
    socket.on("message", (datagram) => {
      if (looksLikeStun(datagram)) for (const listener of listeners) listener(datagram);
    });
    try {
      const bound = once(socket, "listening");
      socket.bind(port);
      await bound;
      socket.on("error", () => undefined); // a lost datagram is an unanswered probe
      return socket;
    } catch {
      return undefined; // the host lacks the family
    }
  };
  const [v4, v6] = await Promise.all([bind("udp4"), bind("udp6")]);
  return {
    families: { ipv4: v4 !== undefined, ipv6: v6 !== undefined },
    send: (to, packet) => (isIpv4(to.address) ? v4 : v6)?.send(packet, to.port, formatIp(to.address)),
    onStun: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    [Symbol.asyncDispose]: async () => {
      v4?.close();
      v6?.close();
    },
  };
}
