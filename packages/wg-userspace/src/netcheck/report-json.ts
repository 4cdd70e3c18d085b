/** A {@link NetReport} in the JSON form of Go's netcheck.Report, which editors and stock command lines read. */
import { type AddrPort, formatAddrPort, parseAddrPort } from "../base/ip.ts";
import type { RegionId } from "../derp/map.ts";
import type { NetReport } from "./report.ts";

const NS_PER_MS = 1e6;
const MAX_REGIONS = 1024;
const MAX_NAMES = 16;
const MAX_NAME_CHARS = 253;

/** The JSON form, for JSON.stringify: durations in whole nanoseconds, unknown as null. */
export function netReportToJson(report: NetReport): Record<string, unknown> {
  return {
    UDP: report.udp,
    IPv6: report.ipv6,
    IPv4: report.ipv4,
    IPv6CanSend: report.ipv6CanSend,
    IPv4CanSend: report.ipv4CanSend,
    OSHasIPv6: report.osHasIpv6,
    ICMPv4: report.icmpv4,
    MappingVariesByDestIP: report.mappingVariesByDestIp ?? null,
    HairPinning: report.hairPinning ?? null,
    UPnP: report.upnp ?? null,
    PMP: report.pmp ?? null,
    PCP: report.pcp ?? null,
    PreferredDERP: report.preferredDerp,
    RegionLatency: nanoseconds(report.regionLatencyMs),
    RegionV4Latency: nanoseconds(report.regionV4LatencyMs),
    RegionV6Latency: nanoseconds(report.regionV6LatencyMs),
    GlobalV4: text(report.globalV4),
    GlobalV6: text(report.globalV6),
    CaptivePortal: report.captivePortal ?? null,
    // Not in Go's report, whose readers ignore it.
    UnresolvedNames: report.unresolvedNames.length === 0 ? undefined : report.unresolvedNames.slice(0, MAX_NAMES),
  };
}

/** Reads another node's report; missing or malformed fields count as unknown. Undefined unless it is an object. */
export function netReportFromJson(json: unknown): NetReport | undefined {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
  const fields = json as Record<string, unknown>;
  const flag = (name: string): boolean => fields[name] === true;
  const known = (name: string): boolean | undefined =>
    typeof fields[name] === "boolean" ? (fields[name] as boolean) : undefined;
  const preferred = fields["PreferredDERP"];
  return {
    udp: flag("UDP"),
    ipv4: flag("IPv4"),
    ipv6: flag("IPv6"),
    ipv4CanSend: flag("IPv4CanSend"),
    ipv6CanSend: flag("IPv6CanSend"),
    osHasIpv6: flag("OSHasIPv6"),
    icmpv4: flag("ICMPv4"),
    mappingVariesByDestIp: known("MappingVariesByDestIP"),
    hairPinning: known("HairPinning"),
    upnp: known("UPnP"),
    pmp: known("PMP"),
    pcp: known("PCP"),
    captivePortal: known("CaptivePortal"),
    preferredDerp: Number.isInteger(preferred) ? (preferred as number) : 0,
    regionLatencyMs: milliseconds(fields["RegionLatency"]),
    regionV4LatencyMs: milliseconds(fields["RegionV4Latency"]),
    regionV6LatencyMs: milliseconds(fields["RegionV6Latency"]),
    globalV4: address(fields["GlobalV4"]),
    globalV6: address(fields["GlobalV6"]),
    observations: [],
    unresolvedNames: names(fields["UnresolvedNames"]),
  };
}

/** Host names only: they are shown to users. */
function names(json: unknown): readonly string[] {
  if (!Array.isArray(json)) return [];
  return json
    .slice(0, MAX_NAMES)
    .filter((name) => typeof name === "string" && name.length <= MAX_NAME_CHARS && /^[A-Za-z0-9._-]+$/.test(name));
}

function nanoseconds(latencyMs: ReadonlyMap<RegionId, number>): Record<string, number> {
  return Object.fromEntries([...latencyMs].map(([region, ms]) => [String(region), Math.round(ms * NS_PER_MS)]));
}

function milliseconds(json: unknown): ReadonlyMap<RegionId, number> {
  const latencies = new Map<RegionId, number>();
  if (typeof json !== "object" || json === null) return latencies;
  for (const [region, ns] of Object.entries(json).slice(0, MAX_REGIONS)) {
    const id = Number(region);
    if (Number.isInteger(id) && id > 0 && typeof ns === "number" && ns >= 0) latencies.set(id, ns / NS_PER_MS);
  }
  return latencies;
}

function text(at: AddrPort | undefined): string {
  return at === undefined ? "" : formatAddrPort(at);
}

function address(json: unknown): AddrPort | undefined {
  return typeof json === "string" ? parseAddrPort(json) : undefined;
}
