/** What an agent reports about its own network, parsed from its HTTP API. */
import { parseAddrPort } from "wg-userspace/base/ip";
import type { NetReport, StunObservation } from "wg-userspace/netcheck/report";
import { netReportFromJson } from "wg-userspace/netcheck/report-json";
import type { PeerView } from "../node/path-report.ts";
import type { InterfaceFact } from "./facts.ts";

const MAX_LIST = 64;

export interface AgentNetwork {
  readonly report: NetReport | undefined;
  readonly interfaces: readonly InterfaceFact[] | undefined;
  /** How the agent sees its paths to us; undefined for a stock agent. */
  readonly peer: PeerView | undefined;
}

/** Tolerant: missing fields are unknown. Reads a stock agent's response as well as ours. */
export function agentNetworkFromJson(body: unknown): AgentNetwork {
  const fields = record(body);
  const report = netReportFromJson(fields["report"]) ?? fromNetInfo(record(fields["net_info"]));
  const listed = record(fields["interfaces"])["interfaces"];
  return {
    report: report && { ...report, observations: observationsFrom(fields["observations"]) },
    interfaces: Array.isArray(listed) ? listed.slice(0, MAX_LIST).map(interfaceFrom) : undefined,
    peer: peerViewFrom(fields["peer"]),
  };
}

function fromNetInfo(info: Record<string, unknown>): NetReport | undefined {
  if (Object.keys(info).length === 0) return undefined;
  const udp = info["WorkingUDP"] === true;
  return netReportFromJson({
    ...info,
    UDP: udp,
    IPv4: udp,
    IPv4CanSend: udp,
    IPv6: info["WorkingIPv6"],
    ICMPv4: info["WorkingICMPv4"],
  });
}

function observationsFrom(json: unknown): StunObservation[] {
  if (!Array.isArray(json)) return [];
  return json.slice(0, MAX_LIST).flatMap((item) => {
    const { node, server, mapped } = record(item);
    const from = typeof server === "string" ? parseAddrPort(server) : undefined;
    const seen = typeof mapped === "string" ? parseAddrPort(mapped) : undefined;
    if (from === undefined || seen === undefined) return [];
    return [{ regionId: 0, node: String(node).slice(0, 64), server: from, mapped: seen, rttMs: 0 }];
  });
}

function peerViewFrom(json: unknown): PeerView | undefined {
  const { candidates, failures } = record(json);
  if (!Array.isArray(candidates)) return undefined;
  const { count, life_ms, held_for_ms, loss } = record(failures);
  return {
    candidates: candidates.slice(0, MAX_LIST).flatMap((item) => {
      const { endpoint, pings_sent, pongs_received, heard } = record(item);
      if (typeof endpoint !== "string" || parseAddrPort(endpoint) === undefined) return [];
      return [
        { endpoint, pingsSent: natural(pings_sent), pongsReceived: natural(pongs_received), heard: heard === true },
      ];
    }),
    failures:
      natural(count) === 0
        ? undefined
        : {
            count: natural(count),
            lifeMs: natural(life_ms),
            heldForMs: natural(held_for_ms),
            loss: typeof loss === "number" && loss >= 0 && loss <= 1 ? loss : undefined,
          },
  };
}

function natural(json: unknown): number {
  return typeof json === "number" && Number.isFinite(json) && json > 0 ? Math.round(json) : 0;
}

function interfaceFrom(json: unknown): InterfaceFact {
  const { name, mtu, addresses } = record(json);
  return {
    name: String(name).slice(0, 64),
    mtu: typeof mtu === "number" ? mtu : 0,
    addresses: Array.isArray(addresses) ? addresses.slice(0, MAX_LIST).map(String) : [],
  };
}

function record(json: unknown): Record<string, unknown> {
  return typeof json === "object" && json !== null ? (json as Record<string, unknown>) : {};
}
