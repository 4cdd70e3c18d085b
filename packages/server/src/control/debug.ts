/** The coordinator and its peers as shown to administrators: these bodies contain addresses. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Node } from "coder-protocol/gen/tailnet_pb.js";
import { derpMapToJson } from "wg-userspace/derp/map";
import type { Agents } from "../db/agents.ts";
import { type NetworkSources, regionName } from "./agent-network.ts";
import type { PeerDescription } from "./peer-state.ts";

export interface CoordinatorDebug {
  readonly agents: readonly PeerDebug[];
  readonly clients: readonly PeerDebug[];
  readonly tunnels: readonly { readonly from: string; readonly to: string; readonly connected: boolean }[];
  /** Open control connections. */
  readonly sockets: number;
}

export interface PeerDebug {
  readonly id: string;
  /** owner/workspace.agent; absent for clients. */
  readonly name?: string | undefined;
  readonly connected_for_ms: number;
  /** Time since the peer last announced its node; absent if it has not. */
  readonly node_age_ms?: number | undefined;
  readonly node?: NodeDebug | undefined;
}

export interface NodeDebug {
  readonly node_id: string;
  readonly as_of: string | null;
  readonly key: string;
  readonly disco: string;
  readonly home_region: number;
  readonly home_region_name: string;
  readonly latency_seconds: Readonly<Record<string, number>>;
  readonly forced_websocket: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly endpoints: readonly string[];
}

export interface TailnetDebug {
  readonly relay_map: unknown;
  readonly agents: readonly {
    readonly id: string;
    readonly name?: string | undefined;
    readonly connections: number | null;
    readonly direct: number | null;
    readonly relayed: number | null;
    readonly median_latency_ms: number | null;
    readonly report_age_ms: number | null;
  }[];
  readonly connections: readonly {
    readonly client: string;
    readonly agent: string;
    readonly path: string;
    readonly endpoint: string | null;
    readonly latency_ms: number | null;
    readonly home_region_name: string | null;
    readonly application: string | null;
    readonly client_version: string | null;
    readonly report_age_ms: number | null;
  }[];
}

export interface DebugSources extends NetworkSources {
  readonly agents: Pick<Agents, "fullNames">;
  readonly sockets: number;
}

export async function coordinatorDebug(sources: DebugSources): Promise<CoordinatorDebug> {
  const peers = sources.coordinator.describe();
  const agents: PeerDebug[] = [];
  const clients: PeerDebug[] = [];
  const names = await namesOf(peers, sources.agents);
  for (const peer of peers) {
    if (peer.kind === "agent") agents.push(peerDebug(peer, sources, names.get(peer.id)));
    else clients.push(peerDebug(peer, sources, undefined));
  }
  return {
    agents,
    clients,
    tunnels: peers.flatMap((peer) =>
      peer.tunnelsTo.map((to) => ({ from: peer.id, to, connected: sources.coordinator.isConnected(to) })),
    ),
    sockets: sources.sockets,
  };
}

export async function tailnetDebug(sources: DebugSources): Promise<TailnetDebug> {
  const { coordinator, reports, map, nowMs } = sources;
  const agents: TailnetDebug["agents"][number][] = [];
  const connections: TailnetDebug["connections"][number][] = [];
  const peers = coordinator.describe();
  const names = await namesOf(peers, sources.agents);
  for (const peer of peers) {
    if (peer.kind === "agent") {
      const report = reports.agent(peer.id);
      const name = names.get(peer.id);
      agents.push({
        id: peer.id,
        name,
        connections: report?.connectionCount ?? null,
        direct: report?.peers?.direct ?? null,
        relayed: report?.peers?.relayed ?? null,
        median_latency_ms: report?.medianLatencyMs ?? null,
        report_age_ms: report === undefined ? null : nowMs - report.atMs,
      });
    }
    for (const to of peer.tunnelsTo) {
      const report = reports.client(peer.id, coordinator.node(to)?.id);
      connections.push({
        client: peer.id,
        agent: to,
        path: report?.path ?? "unknown",
        endpoint: report?.endpoint ?? null,
        latency_ms: report?.latencyMs ?? null,
        home_region_name: report === undefined || report.homeRegion === 0 ? null : regionName(map, report.homeRegion),
        application: report?.application ?? null,
        client_version: report?.clientVersion ?? null,
        report_age_ms: report === undefined ? null : nowMs - report.atMs,
      });
    }
  }
  return { relay_map: derpMapToJson(map), agents, connections };
}

function peerDebug(peer: PeerDescription, sources: DebugSources, name: string | undefined): PeerDebug {
  return {
    id: peer.id,
    name,
    connected_for_ms: sources.nowMs - peer.connectedAtMs,
    node_age_ms: peer.node === undefined ? undefined : sources.nowMs - peer.nodeAtMs,
    node: peer.node === undefined ? undefined : nodeDebug(peer.node, sources),
  };
}

function nodeDebug(node: Node, sources: DebugSources): NodeDebug {
  return {
    node_id: String(node.id),
    as_of: node.asOf === undefined ? null : timeText(timestampMs(node.asOf)),
    key: `nodekey:${Buffer.from(node.key.subarray(2)).toString("hex")}`,
    disco: node.disco,
    home_region: node.preferredDerp,
    home_region_name: node.preferredDerp === 0 ? "none" : regionName(sources.map, node.preferredDerp),
    latency_seconds: node.derpLatency,
    forced_websocket: node.derpForcedWebsocket,
    addresses: node.addresses,
    endpoints: node.endpoints,
  };
}

/** Null for a time that cannot be written, since a peer may claim any. */
function timeText(ms: number): string | null {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

async function namesOf(
  peers: readonly PeerDescription[],
  agents: DebugSources["agents"],
): Promise<ReadonlyMap<string, string>> {
  return await agents.fullNames(peers.filter(({ kind }) => kind === "agent").map(({ id }) => id));
}
