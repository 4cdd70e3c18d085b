/** How an agent is reached, put together from the coordinator, the agent's statistics and its clients' telemetry. */
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { DerpMap } from "wg-userspace/derp/map";
import type { Coordinator } from "./coordinator.ts";
import type { EndpointClass, PathKind, PeerReports } from "./peer-reports.ts";

/** Body of GET /workspaceagents/{id}/network. It contains no address. */
export interface AgentNetwork {
  readonly home: HomeRelay | null;
  /** The number of clients on each kind of path. */
  readonly connections: { readonly direct: number; readonly relayed: number; readonly unknown: number };
  /** Whether the agent counted them itself, or we did from the clients' reports. */
  readonly counted_by: "agent" | "clients";
  /** From the agent to its clients; absent if it is not known. */
  readonly median_latency_ms?: number | undefined;
  /** Other servers may have clients and reports that are unknown here. */
  readonly partial?: true | undefined;
  /** The clients that the coordinator knows, at most {@link MAX_CLIENTS}. */
  readonly clients: readonly ClientPath[];
}

export interface HomeRelay {
  readonly region_id: number;
  readonly region_name: string;
  /** Absent if the agent did not measure it. */
  readonly latency_ms?: number | undefined;
}

export interface ClientPath {
  /** Set for a web page that is a peer of its own. */
  readonly browser?: boolean | undefined;
  readonly path: PathKind;
  readonly endpoint?: EndpointClass | undefined;
  readonly latency_ms?: number | undefined;
  readonly home_region_name?: string | undefined;
}

const MAX_CLIENTS = 100;
/** An agent reports every 30 s; an older report than this says nothing about the present. */
const STALE_REPORT_MS = 90_000;

export interface NetworkSources {
  readonly coordinator: Coordinator;
  readonly reports: PeerReports;
  readonly map: DerpMap;
  readonly nowMs: number;
  /** Whether there are other servers. */
  readonly isPartial: boolean;
}

/** Undefined if the agent is not connected. */
export function agentNetwork(agentId: string, sources: NetworkSources): AgentNetwork | undefined {
  const { coordinator, reports, map } = sources;
  if (!coordinator.isConnected(agentId) && !coordinator.isElsewhere(agentId)) return undefined;
  const node = coordinator.node(agentId);
  let newestMs = Number.NEGATIVE_INFINITY;
  const clients = coordinator.sourcesOf(agentId).map((id): ClientPath => {
    const report = reports.client(id, node?.id);
    const isBrowser = coordinator.isBrowser(id);
    const browser = isBrowser || undefined;
    // A page is always relayed.
    if (report === undefined) return { path: isBrowser ? "relayed" : "unknown", browser };
    if (report.path !== "unknown") newestMs = Math.max(newestMs, report.atMs);
    return {
      path: report.path,
      browser,
      endpoint: report.endpoint,
      latency_ms: report.latencyMs,
      home_region_name: report.homeRegion === 0 ? undefined : regionName(map, report.homeRegion),
    };
  });
  const report = reports.agent(agentId);
  const fresh = report !== undefined && sources.nowMs - report.atMs <= STALE_REPORT_MS ? report : undefined;
  // Clients report at once, the agent every 30 s. Its count is used if a client did not report, unless the count is older than
  // the other clients' reports, since it then does not include them.
  const allReported = clients.length > 0 && clients.every(({ path }) => path !== "unknown");
  const counted = allReported || fresh === undefined || fresh.atMs < newestMs ? undefined : fresh.peers;
  return {
    home: homeRelay(node, map),
    connections: counted === undefined ? countPaths(clients) : { ...counted, unknown: 0 },
    counted_by: counted === undefined ? "clients" : "agent",
    median_latency_ms: fresh?.medianLatencyMs,
    partial: sources.isPartial || undefined,
    clients: clients.slice(0, MAX_CLIENTS),
  };
}

/** The field `latency` of an agent in the REST API, by region name. Undefined if the agent's node is unknown. */
export function agentLatency(agentId: string, coordinator: Coordinator, map: DerpMap): WorkspaceAgent["latency"] {
  const node = coordinator.node(agentId);
  if (node === undefined) return undefined;
  const latency: Record<string, { preferred: boolean; latency_ms: number }> = {};
  for (const [regionId, seconds] of measured(node.derpLatency)) {
    latency[regionName(map, regionId)] = { preferred: regionId === node.preferredDerp, latency_ms: seconds * 1000 };
  }
  return latency;
}

/** The clients of all agents by path, for the metrics. */
export function clientPaths(coordinator: Coordinator, reports: PeerReports): Record<PathKind, number> {
  const counts: Record<PathKind, number> = { direct: 0, relayed: 0, unknown: 0 };
  for (const peer of coordinator.describe()) {
    if (peer.kind !== "client") continue;
    for (const to of peer.tunnelsTo) {
      if (coordinator.isConnected(to)) counts[reports.client(peer.id, coordinator.node(to)?.id)?.path ?? "unknown"]++;
    }
  }
  return counts;
}

/** The name of a region. An agent may still use an earlier map, whose regions may have no name here. */
export function regionName(map: DerpMap, regionId: number): string {
  return map.regions.get(regionId)?.regionName ?? `Unnamed ${regionId}`;
}

function homeRelay(
  node: { readonly preferredDerp: number; readonly derpLatency: Readonly<Record<string, number>> } | undefined,
  map: DerpMap,
): HomeRelay | null {
  if (node === undefined || node.preferredDerp === 0) return null;
  const seconds = measured(node.derpLatency).get(node.preferredDerp);
  return {
    region_id: node.preferredDerp,
    region_name: regionName(map, node.preferredDerp),
    latency_ms: seconds === undefined ? undefined : seconds * 1000,
  };
}

/** Latencies in seconds by region: the lower of the two address families. */
function measured(latency: Readonly<Record<string, number>>): Map<number, number> {
  const regions = new Map<number, number>();
  for (const [key, seconds] of Object.entries(latency)) {
    const id = Number(/^(\d{1,5})(?:-v[46])?$/.exec(key)?.[1] ?? 0);
    if (id === 0 || !Number.isFinite(seconds) || seconds < 0) continue;
    regions.set(id, Math.min(seconds, regions.get(id) ?? Number.POSITIVE_INFINITY));
  }
  return regions;
}

function countPaths(clients: readonly ClientPath[]): AgentNetwork["connections"] {
  const counts = { direct: 0, relayed: 0, unknown: 0 };
  for (const client of clients) counts[client.path]++;
  return counts;
}
