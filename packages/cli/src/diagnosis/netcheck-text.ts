/** What `coder netcheck` prints: the JSON that editors read, and a report for people. Pure. */

import type { NetworkProbe, RelayProbe } from "coder-client/connection/network-probe";
import { formatDuration } from "coder-client/diagnosis/durations";
import type { InterfaceFact } from "coder-client/diagnosis/facts";
import { findProxyRegion } from "coder-client/node/relay-choice";
import type { ProxyRef } from "coder-client/rest/regions";
import { SAFE_INTERFACE_MTU } from "coder-protocol/interface-mtu";
import { formatAddrPort } from "wg-userspace/base/ip";
import { derpMapToJson, hasRelay, type Region } from "wg-userspace/derp/map";
import type { NetReport } from "wg-userspace/netcheck/report";
import { netReportToJson } from "wg-userspace/netcheck/report-json";

interface Warning {
  readonly code: string;
  readonly message: string;
}

const BAR_WIDTH = 24;
/** Bounds of good and fair latencies, the same as in the dashboard. */
const GOOD_MS = 150;
const FAIR_MS = 300;

/** The JSON of a stock `coder netcheck`. */
export function netcheckJson(probe: NetworkProbe, interfaces: readonly InterfaceFact[]): Record<string, unknown> {
  const regions = [...probe.map.regions.values()];
  const reports = regions.map((region) => [String(region.regionId), regionJson(probe, region)] as const);
  const warnings = derpWarnings(probe);
  const unhealthy = reports.some(([, report]) => report["healthy"] === false);
  const low = interfaces.filter(({ mtu }) => mtu > 0 && mtu < SAFE_INTERFACE_MTU);
  return {
    derp: {
      healthy: !unhealthy,
      severity: unhealthy ? "error" : warnings.length > 0 ? "warning" : "ok",
      warnings,
      dismissed: false,
      regions: Object.fromEntries(reports),
      netcheck: netReportToJson(probe.report),
      netcheck_logs: [],
    },
    interfaces: {
      severity: low.length > 0 ? "warning" : "ok",
      warnings: low.map(({ name, mtu }) => ({
        code: "EIF01",
        message: `Network interface ${name} has MTU ${mtu} (less than ${SAFE_INTERFACE_MTU}), which may degrade the quality of direct connections`,
      })),
      dismissed: false,
      interfaces,
    },
    // not in a stock client's JSON
    workspace_proxies: probe.proxies?.map((proxy) => proxyJson(probe, proxy)),
  };
}

/** What the relay map and the probe know about a proxy. */
function proxyRelay(
  { map, relays }: NetworkProbe,
  { name }: ProxyRef,
): { readonly region: Region | undefined; readonly relay: RelayProbe | undefined } {
  const region = findProxyRegion(map, name);
  const relay = relays.find(({ regionId }) => regionId === region?.regionId);
  return { region, relay };
}

function proxyJson(probe: NetworkProbe, proxy: ProxyRef): Record<string, unknown> {
  const { region, relay } = proxyRelay(probe, proxy);
  return {
    name: proxy.name,
    display_name: proxy.displayName,
    healthy: proxy.healthy,
    region_id: region?.regionId ?? null,
    latency_ms: relay?.roundTripMs === undefined ? null : Math.round(relay.roundTripMs),
    error: relay?.error,
  };
}

function derpWarnings({ report, relays, directBlocked, map }: NetworkProbe): Warning[] {
  const warnings: Warning[] = [];
  for (const { regionId, usesWebSocket } of relays) {
    const name = map.regions.get(regionId)?.regionName ?? String(regionId);
    if (usesWebSocket)
      warnings.push({ code: "EDERP01", message: `The relay "${name}" could only be reached by WebSocket` });
  }
  if (directBlocked !== undefined) return warnings;
  const hasStun = [...map.regions.values()].some(({ nodes }) => nodes.some((node) => node.stunPort >= 0));
  if (hasStun && !report.udp) warnings.push({ code: "ESTUN01", message: stunSilence(report) });
  if (report.mappingVariesByDestIp === true)
    warnings.push({ code: "ESTUN02", message: "STUN servers saw different public ports: a hard NAT" });
  return warnings;
}

function regionJson(probe: NetworkProbe, region: Region): Record<string, unknown> {
  const relay = probe.relays.find(({ regionId }) => regionId === region.regionId);
  const failed = relay?.error !== undefined;
  // Regions in the format of the map itself, with every field.
  const regions = derpMapToJson(probe.map)["Regions"] as Readonly<
    Record<string, { readonly Nodes: readonly unknown[] }>
  >;
  const described = regions[String(region.regionId)]!;
  const nodes = described.Nodes;
  const stunSeen = probe.report.observations.some(({ regionId }) => regionId === region.regionId);
  return {
    healthy: !failed,
    severity: failed ? "error" : relay?.usesWebSocket ? "warning" : "ok",
    warnings: relay?.usesWebSocket ? [{ code: "EDERP01", message: "reached by WebSocket only" }] : [],
    error: relay?.error,
    region: described,
    node_reports: region.nodes.map((node, index) => ({
      healthy: node.stunOnly ? true : !failed,
      severity: node.stunOnly || !failed ? "ok" : "error",
      warnings: [],
      node: nodes[index],
      node_info: { TokenBucketBytesPerSecond: 0, TokenBucketBytesBurst: 0 },
      can_exchange_messages: !node.stunOnly && relay?.roundTripMs !== undefined,
      round_trip_ping: relay?.roundTripMs === undefined ? "" : formatDuration(relay.roundTripMs),
      round_trip_ping_ms: relay?.roundTripMs === undefined ? 0 : Math.round(relay.roundTripMs),
      uses_websocket: relay?.usesWebSocket ?? false,
      client_logs: [],
      client_errs: failed ? [[relay.error]] : [],
      stun: {
        Enabled: node.stunPort >= 0,
        CanSTUN: stunSeen,
        Error: node.stunPort >= 0 && !stunSeen ? "no answer" : null,
      },
    })),
  };
}

/** The report for people, one line per item. */
export function netcheckLines(probe: NetworkProbe, interfaces: readonly InterfaceFact[]): string[] {
  const { report } = probe;
  return [
    "Your network",
    ...networkLines(probe).map((line) => `  ${line}`),
    "",
    "Relays",
    ...relayLines(probe).map((line) => `  ${line}`),
    "",
    ...proxySection(probe),
    "Interfaces",
    ...interfaces.map(
      ({ name, mtu, addresses }) =>
        `  ${name}  MTU ${mtu || "unknown"}${mtu > 0 && mtu < SAFE_INTERFACE_MTU ? ` (below ${SAFE_INTERFACE_MTU}: too small for direct connections)` : ""}  ${addresses.join(", ")}`,
    ),
    "",
    "What this means",
    ...expectations(probe, report.mappingVariesByDestIp).map((line) => `  ${line}`),
  ];
}

function networkLines({ report, directBlocked }: NetworkProbe): string[] {
  if (directBlocked !== undefined) return ["UDP: not tried, direct connections are not allowed"];
  const lines = [`UDP: ${report.udp ? "works" : lowered(stunSilence(report))}`];
  if (report.unresolvedNames.length > 0) lines.push(`Names without an address: ${report.unresolvedNames.join(", ")}`);
  if (report.globalV4 !== undefined) lines.push(`Public IPv4 address: ${formatAddrPort(report.globalV4)}`);
  if (report.globalV6 !== undefined) lines.push(`Public IPv6 address: ${formatAddrPort(report.globalV6)}`);
  lines.push(`IPv6: ${report.ipv6 ? "works" : report.osHasIpv6 ? "this machine has it, no server answered" : "none"}`);
  lines.push(`NAT: ${natWords(report)}`);
  for (const { node, server, mapped } of report.observations)
    lines.push(`  ${node} (${formatAddrPort(server)}) sees ${formatAddrPort(mapped)}`);
  return lines;
}

function natWords(report: NetReport): string {
  if (report.mappingVariesByDestIp === true) return "hard: another public port for every destination";
  if (report.mappingVariesByDestIp === false) return "easy: one public port for all destinations";
  if (report.udp)
    return "unknown: it takes two STUN servers to tell; an administrator adds them with --derp-server-stun-addresses";
  return sentNoProbe(report)
    ? "unknown: no STUN server could be asked"
    : "unknown: no answer over UDP; a firewall that lets UDP out makes direct connections possible";
}

/** Names could not be resolved, so UDP was never tried. */
function sentNoProbe({ unresolvedNames, ipv4CanSend, ipv6CanSend }: NetReport): boolean {
  return unresolvedNames.length > 0 && !ipv4CanSend && !ipv6CanSend;
}

function stunSilence(report: NetReport): string {
  return sentNoProbe(report)
    ? "Not tried: no name of a STUN server was resolved, see DNS"
    : "No STUN server answered over UDP";
}

function lowered(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function relayLines({ relays, map, report }: NetworkProbe): string[] {
  const longest = Math.max(0, ...[...map.regions.values()].filter(hasRelay).map(({ regionName }) => regionName.length));
  const slowest = Math.max(1, ...relays.map(({ roundTripMs }) => roundTripMs ?? 0));
  return [...relays]
    .sort((a, b) => (a.roundTripMs ?? Number.POSITIVE_INFINITY) - (b.roundTripMs ?? Number.POSITIVE_INFINITY))
    .map(({ regionId, roundTripMs, error, usesWebSocket }) => {
      const name = (map.regions.get(regionId)?.regionName ?? String(regionId)).padEnd(longest);
      if (roundTripMs === undefined) return `${name}  not reachable: ${error}`;
      const bar = "▇".repeat(Math.max(1, Math.round((BAR_WIDTH * roundTripMs) / slowest)));
      const words = roundTripMs < GOOD_MS ? "good" : roundTripMs < FAIR_MS ? "fair" : "slow";
      const http = report.regionLatencyMs.get(regionId);
      const home = regionId === report.preferredDerp ? "  (nearest)" : "";
      return `${name}  ${bar} ${formatDuration(roundTripMs)} ${words}${usesWebSocket ? ", by WebSocket" : ""}${http === undefined ? "" : `, HTTP ${formatDuration(http)}`}${home}`;
    });
}

/** Empty where the deployment has no proxies. */
function proxySection(probe: NetworkProbe): string[] {
  const { proxies = [] } = probe;
  if (proxies.length === 0) return [];
  const longest = Math.max(...proxies.map(({ name }) => name.length));
  const lines = proxies.map((proxy) => {
    const { name, healthy } = proxy;
    const { region, relay } = proxyRelay(probe, proxy);
    const latency =
      region === undefined
        ? "no region in the relay map"
        : relay?.roundTripMs === undefined
          ? `not reachable: ${relay?.error ?? "not tried"}`
          : formatDuration(relay.roundTripMs);
    return `  ${name.padEnd(longest)}  ${(healthy ? "ok" : "not ok").padEnd(6)}  ${latency}`;
  });
  return ["Workspace proxies", ...lines, ""];
}

function expectations({ report, relays, directBlocked }: NetworkProbe, varies: boolean | undefined): string[] {
  const relayed = relays.some(({ roundTripMs }) => roundTripMs !== undefined);
  const lines = [relayed ? "Relayed connections will work." : "Relayed connections will NOT work: no relay answers."];
  if (directBlocked === "deployment") lines.push("Direct connections: the administrator does not allow them.");
  else if (directBlocked === "this-client") lines.push("Direct connections: you switched them off.");
  else if (sentNoProbe(report))
    lines.push(
      "Direct connections: only to workspaces on the same network, until the names of STUN servers are resolved.",
    );
  else if (!report.udp)
    lines.push("Direct connections: only to workspaces on the same network; UDP gets no answer from outside.");
  else if (varies === true)
    lines.push(
      "Direct connections: to workspaces whose side is open or filters by address alone; not where both NATs are hard.",
    );
  else lines.push("Direct connections: to most workspaces; not to those behind a hard NAT that also filters by port.");
  return lines;
}
