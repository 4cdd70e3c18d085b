/**
 * Section `derp` of the health report: every relay of the map and every STUN server, tested in the way a client would use them.
 */
import type { DerpHealth, HealthMessage } from "coder-protocol/rest/deployment";
import { type AddrPort, formatAddrPort } from "wg-userspace/base/ip";
import { type DerpMap, derpMapToJson, hasRelay, type Node, type Region } from "wg-userspace/derp/map";
import type { RelayDialer } from "wg-userspace/io/relay/relay-dialer";
import { isPublicAddress } from "../base/public-address.ts";
import type { ProbeKeys } from "../relay/probe-keys.ts";
import { probeRelay } from "./relay-probe.ts";
import { fails, message, type Section, works, worst } from "./section.ts";
import { askStunServers, offersStun, type StunAnswer } from "./stun-probe.ts";

const NODE_TIMEOUT_MS = 5_000;
const STUN_TIMEOUT_MS = 3_000;
/** Relay nodes that are tested in parallel; each needs two connections. */
const PARALLEL_NODES = 24;
/** Maximum number of nodes that are tested: a public map may have hundreds. */
const MAX_NODES = 120;

export interface DerpCheckOptions {
  /** The map, in which the embedded relay has the address at which the server reaches itself. */
  readonly map: DerpMap;
  readonly keys: ProbeKeys;
  readonly dialer: RelayDialer;
  readonly forceWebSocket: boolean;
  /** Direct connections are forbidden, so missing STUN servers are no problem. */
  readonly blockDirect: boolean;
  readonly nodeTimeoutMs?: number;
  readonly stunTimeoutMs?: number;
}

interface NodeReport extends Section {
  readonly node: unknown;
  readonly node_info: { readonly TokenBucketBytesPerSecond: number; readonly TokenBucketBytesBurst: number };
  readonly can_exchange_messages: boolean;
  readonly round_trip_ping: string;
  readonly round_trip_ping_ms: number;
  readonly uses_websocket: boolean;
  readonly client_logs: string[][];
  readonly client_errs: string[][];
  readonly stun: { readonly Enabled: boolean; readonly CanSTUN: boolean; readonly Error: string | null };
}

export async function checkDerp(options: DerpCheckOptions): Promise<DerpHealth> {
  const regions = [...options.map.regions.values()];
  const nodes = regions.flatMap((region) => region.nodes.map((node) => ({ region, node }))).slice(0, MAX_NODES);
  const stunNodes = nodes.map(({ node }) => node).filter(offersStun);
  const [answers, reports] = await Promise.all([
    stunNodes.length === 0
      ? new Map<string, StunAnswer>()
      : askStunServers(stunNodes, options.stunTimeoutMs ?? STUN_TIMEOUT_MS),
    inParallel(nodes, PARALLEL_NODES, async ({ region, node }) => checkNode(region, node, options)),
  ]);
  const byName = new Map(nodes.map(({ node }, index) => [node.name, withStun(reports[index]!, node, answers)]));
  const json = derpMapToJson(options.map)["Regions"] as Record<string, unknown>;
  const sections: Record<string, unknown> = {};
  const warnings: HealthMessage[] = stunWarnings(answers, options.blockDirect);
  let broken: Section | undefined;
  const severities = [worst(warnings.map(() => "warning" as const))];
  for (const region of regions) {
    const found = region.nodes.flatMap((node) => byName.get(node.name) ?? []);
    const section = regionSection(region, found);
    severities.push(section.severity);
    if (!section.healthy) broken ??= section;
    warnings.push(...section.warnings);
    sections[String(region.regionId)] = { ...section, region: json[String(region.regionId)], node_reports: found };
  }
  return {
    healthy: broken === undefined,
    error: broken?.error,
    severity: worst(severities),
    warnings,
    dismissed: false,
    regions: sections,
    netcheck: netReport(answers),
    netcheck_logs: [],
  };
}

async function checkNode(region: Region, node: Node, options: DerpCheckOptions): Promise<NodeReport> {
  const nothing = {
    node: nodeJson(region, node),
    node_info: { TokenBucketBytesPerSecond: 0, TokenBucketBytesBurst: 0 },
    can_exchange_messages: false,
    round_trip_ping: "",
    round_trip_ping_ms: 0,
    uses_websocket: false,
    client_logs: [],
    client_errs: [],
    stun: { Enabled: false, CanSTUN: false, Error: null },
  };
  if (node.stunOnly) return { ...works(), ...nothing };
  const probe = await probeRelay(region, node, {
    keys: options.keys,
    dialer: options.dialer,
    forceWebSocket: options.forceWebSocket,
    timeoutMs: options.nodeTimeoutMs ?? NODE_TIMEOUT_MS,
  });
  const fallback = probe.usesWebSocket && !options.forceWebSocket;
  const section = probe.exchanged
    ? works(
        fallback
          ? [
              message(
                "EDERP01",
                `relay node ${node.name} is only reached by WebSocket: something in between does not let "Upgrade: DERP" ` +
                  `through (${probe.errors[0] ?? "no reason given"})`,
              ),
            ]
          : [],
      )
    : fails("EDERP02", `relay node ${node.name}: ${probe.errors[0] ?? "no answer"}`);
  return {
    ...section,
    ...nothing,
    can_exchange_messages: probe.exchanged,
    round_trip_ping: probe.pingMs === undefined ? "" : `${probe.pingMs.toFixed(3)}ms`,
    round_trip_ping_ms: Math.round(probe.pingMs ?? 0),
    uses_websocket: probe.usesWebSocket,
    client_errs: probe.errors.length === 0 ? [] : [[...probe.errors]],
  };
}

function withStun(report: NodeReport, node: Node, answers: ReadonlyMap<string, StunAnswer>): NodeReport {
  if (!offersStun(node)) return report;
  const answer = answers.get(node.name);
  const error = answer === undefined ? "not asked" : (answer.error ?? null);
  const stun = { Enabled: true, CanSTUN: error === null, Error: error };
  if (!node.stunOnly || error === null) return { ...report, stun };
  // No client depends on a single STUN server, so one that does not answer is only a warning.
  return { ...report, stun, severity: "warning", error };
}

function regionSection(region: Region, reports: readonly NodeReport[]): Section {
  if (!hasRelay(region)) {
    const silent = reports.filter((report) => !report.stun.CanSTUN);
    return { ...works(), severity: silent.length === 0 ? "ok" : "warning" };
  }
  const relays = reports.filter((_report, index) => region.nodes[index]?.stunOnly === false);
  const broken = relays.filter((report) => !report.healthy);
  const warnings = relays.flatMap((report) => report.warnings);
  for (const report of broken) warnings.push(message("EDERP02", report.error ?? "a relay node is unhealthy"));
  if (broken.length > 0 && broken.length === relays.length) {
    return {
      ...fails(
        "EDERP02",
        `no relay node of region ${region.regionId} (${region.regionName}) works: ${reasonIn(broken)}`,
      ),
      warnings,
    };
  }
  // It is announced to clients, but none depends on it.
  const isSilent = reports.some((report, index) => region.nodes[index]?.stunOnly === true && !report.stun.CanSTUN);
  return isSilent ? { ...works(warnings), severity: "warning" } : works(warnings);
}

/** The first node's error without its code, since the code of the region precedes it. */
function reasonIn(broken: readonly NodeReport[]): string {
  return (broken[0]?.error ?? "no reason given").replace(/^E[A-Z]+\d\d: /, "");
}

function stunWarnings(answers: ReadonlyMap<string, StunAnswer>, blockDirect: boolean): HealthMessage[] {
  if (blockDirect) return [];
  const all = [...answers.values()];
  if (!all.some((answer) => answer.error === undefined)) {
    const why = answers.size === 0 ? "the relay map has none" : `none of ${answers.size} answered this server`;
    return [message("ESTUN01", `No STUN servers available: ${why}. Connections through NAT stay on the relay`)];
  }
  const mapped = publicMappings(answers);
  if (mapped.size > 1) {
    return [
      message(
        "ESTUN02",
        `STUN servers see this server under different addresses (${[...mapped].slice(0, 4).join(", ")}): it is behind a ` +
          "hard NAT, and so may workspaces next to it be",
      ),
    ];
  }
  return [];
}

/** Only public addresses are compared, because our own STUN server sees us from inside the NAT. */
function publicMappings(answers: ReadonlyMap<string, StunAnswer>): Set<string> {
  const mapped = new Set<string>();
  for (const { v4 } of answers.values())
    if (v4 !== undefined && isPublicAddress(v4.mapped.address)) mapped.add(formatAddrPort(v4.mapped));
  return mapped;
}

/** The part of netcheck's report that is known here, with Go's field names. */
function netReport(answers: ReadonlyMap<string, StunAnswer>): Record<string, unknown> {
  const all = [...answers.values()];
  const v4 = all.flatMap((answer) => answer.v4?.mapped ?? []);
  const v6 = all.flatMap((answer) => answer.v6?.mapped ?? []);
  const mapped = publicMappings(answers);
  const observers = all.filter((answer) => answer.v4 !== undefined && isPublicAddress(answer.v4.mapped.address)).length;
  const global = (found: readonly AddrPort[]): string => {
    const best = found.find(({ address }) => isPublicAddress(address)) ?? found[0];
    return best === undefined ? "" : formatAddrPort(best);
  };
  return {
    UDP: v4.length + v6.length > 0,
    IPv4: v4.length > 0,
    IPv6: v6.length > 0,
    IPv4CanSend: v4.length > 0,
    IPv6CanSend: v6.length > 0,
    OSHasIPv6: v6.length > 0,
    ICMPv4: false,
    MappingVariesByDestIP: observers < 2 ? null : mapped.size > 1,
    HairPinning: null,
    UPnP: null,
    PMP: null,
    PCP: null,
    CaptivePortal: null,
    PreferredDERP: 0,
    RegionLatency: {},
    RegionV4Latency: {},
    RegionV6Latency: {},
    GlobalV4: global(v4),
    GlobalV6: global(v6),
  };
}

function nodeJson(region: Region, node: Node): unknown {
  const map = {
    regions: new Map([[region.regionId, { ...region, nodes: [node] }]]),
    regionScore: new Map(),
    omitDefaultRegions: false,
  };
  const regions = derpMapToJson(map)["Regions"] as Record<string, { Nodes: unknown[] }>;
  return regions[String(region.regionId)]?.Nodes[0];
}

async function inParallel<In, Out>(
  items: readonly In[],
  width: number,
  work: (item: In) => Promise<Out>,
): Promise<Out[]> {
  const results: Out[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  return results;
}
