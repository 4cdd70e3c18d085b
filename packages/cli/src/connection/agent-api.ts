/** What the agent says about its own network: its HTTP API inside the tunnel. */
import type { Duplex } from "node:stream";
import { fetchOver } from "coder-client/connection/fetch-over";
import { limitedText } from "coder-client/connection/tunnel-fetch";
import type { PeerView } from "coder-client/node/path-report";
import { HTTP_API_PORT } from "coder-protocol/tunnel-ports";
import { parseAddrPort } from "wg-userspace/base/ip";
import type { NetReport, StunObservation } from "wg-userspace/netcheck/report";
import { netReportFromJson } from "wg-userspace/netcheck/report-json";
import type { InterfaceFact } from "../diagnosis/facts.ts";

const MAX_ANSWER_BYTES = 1024 * 1024;
const MAX_LIST = 64;
const MAX_PORTS = 1024;

export interface Dialable {
  dial(port: number, options: { readonly signal: AbortSignal }): Promise<Duplex>;
}

export interface AgentNetwork {
  readonly report: NetReport | undefined;
  readonly interfaces: readonly InterfaceFact[] | undefined;
  /** How it sees its ways to us; undefined for a stock agent. */
  readonly peer: PeerView | undefined;
}

/** Asks the agent to look at its network. Rejects with what went wrong, or `signal.reason`. */
export async function agentNetwork(connection: Dialable, signal: AbortSignal): Promise<AgentNetwork> {
  const { status, body } = await get(connection, "/api/v0/netcheck", signal);
  if (status === 404) throw new Error("this agent cannot look at its network: it is an old one");
  if (status !== 200) throw new Error(`the agent answered with HTTP ${status}`);
  return agentNetworkFromJson(body);
}

export interface ListeningPort {
  readonly port: number;
  /** Empty when the agent may not know. */
  readonly processName: string;
}

/** TCP ports that programs of the workspace listen on, without those of system services. */
export async function listeningPorts(connection: Dialable, signal: AbortSignal): Promise<ListeningPort[]> {
  const { status, body } = await get(connection, "/api/v0/listening-ports", signal);
  if (status !== 200) throw new Error(`the agent answered with HTTP ${status}`);
  const { ports } = record(body);
  if (!Array.isArray(ports)) return [];
  return ports.slice(0, MAX_PORTS).flatMap((item) => {
    const { port, process_name, network } = record(item);
    if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65535) return [];
    if (network !== "tcp") return [];
    // Shown on a terminal: nothing in a program's name may speak to it.
    return [
      {
        port,
        processName: String(process_name ?? "")
          .replace(/[^\x20-\x7e]/g, "?")
          .slice(0, 64),
      },
    ];
  });
}

/** Tolerant: whatever is missing is unknown. Reads a stock agent's answer as well as ours. */
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
    ...(natural(count) === 0
      ? {}
      : {
          failures: {
            count: natural(count),
            lifeMs: natural(life_ms),
            heldForMs: natural(held_for_ms),
            ...(typeof loss === "number" && loss >= 0 && loss <= 1 ? { loss } : {}),
          },
        }),
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

async function get(
  connection: Dialable,
  path: string,
  signal: AbortSignal,
): Promise<{ status: number; body: unknown }> {
  const { status, text } = await agentPage(connection, path, signal, MAX_ANSWER_BYTES);
  try {
    return { status, body: JSON.parse(text) };
  } catch {
    return { status, body: undefined };
  }
}

/** A page of the agent's HTTP API as it is. Rejects when it is longer than `limitBytes`. */
export async function agentPage(
  connection: Dialable,
  path: string,
  signal: AbortSignal,
  limitBytes: number,
): Promise<{ status: number; text: string }> {
  const stream = await connection.dial(HTTP_API_PORT, { signal });
  const response = await fetchOver(stream, HTTP_API_PORT, path, { signal });
  return { status: response.status, text: await limitedText(response, limitBytes) };
}
