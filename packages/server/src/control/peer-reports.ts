/**
 * What peers report about their own connections: clients by telemetry events, agents by their statistics. Kept in memory, per
 * connected peer, bounded; of an address only its class is kept.
 */
import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { Stats } from "coder-protocol/gen/agent_pb.js";
import {
  type IPFields,
  IPFields_IPClass,
  type TelemetryEvent,
  TelemetryEvent_Status,
} from "coder-protocol/gen/tailnet_pb.js";

export type PathKind = "direct" | "relayed" | "unknown";

/** All that users other than administrators see of an address. */
export type EndpointClass = "private" | "link-local" | "loopback" | "public IPv4" | "public IPv6";

/** A client's view of its connection to one node. */
export interface ClientReport {
  /** When it was received, in ms since 1970. */
  readonly atMs: number;
  /** Node id of the other side; 0 if the client did not name it. */
  readonly remoteNodeId: bigint;
  readonly path: PathKind;
  readonly endpoint: EndpointClass | undefined;
  /** Round-trip time on that path. */
  readonly latencyMs: number | undefined;
  /** The client's home region; 0 if the client did not report it. */
  readonly homeRegion: number;
  readonly application: string;
  readonly clientVersion: string;
}

/** An agent's view of all its connections. */
export interface AgentReport {
  readonly atMs: number;
  readonly connectionCount: number;
  /** Undefined if no peer could be pinged. */
  readonly medianLatencyMs: number | undefined;
  /** Peers by path; undefined if the agent does not count them. */
  readonly peers: { readonly direct: number; readonly relayed: number } | undefined;
  readonly rxBytes: number;
  readonly txBytes: number;
}

const MAX_PEERS = 20_000;
const MAX_REMOTES_PER_CLIENT = 64;
/** Further events in one request are ignored: a client sends one per change. */
const MAX_EVENTS = 256;
const MAX_TEXT = 64;
/** The metric in which agents count their peers, with the label connection_type. */
const PEERS_METRIC = "coderd_agentstats_currently_reachable_peers";

export class PeerReports {
  readonly #clients = new Map<string, Map<bigint, ClientReport>>();
  readonly #agents = new Map<string, AgentReport>();

  /** Number of peers about which anything is kept. */
  get size(): number {
    return this.#clients.size + this.#agents.size;
  }

  telemetry(peerId: string, events: readonly TelemetryEvent[], nowMs: number): void {
    for (const event of events.slice(0, MAX_EVENTS)) {
      const remotes = this.#clients.get(peerId) ?? new Map<bigint, ClientReport>();
      const before = remotes.get(event.nodeIdRemote);
      remotes.delete(event.nodeIdRemote);
      if (event.status !== TelemetryEvent_Status.DISCONNECTED) {
        forgetOldest(remotes, MAX_REMOTES_PER_CLIENT);
        remotes.set(event.nodeIdRemote, clientReport(event, before, nowMs));
      }
      this.#clients.delete(peerId);
      if (remotes.size === 0) continue;
      forgetOldest(this.#clients, MAX_PEERS);
      this.#clients.set(peerId, remotes);
    }
  }

  stats(agentId: string, stats: Stats, nowMs: number): void {
    this.#agents.delete(agentId);
    forgetOldest(this.#agents, MAX_PEERS);
    this.#agents.set(agentId, {
      atMs: nowMs,
      connectionCount: count(Number(stats.connectionCount)),
      medianLatencyMs: latency(stats.connectionMedianLatencyMs),
      peers: countedPeers(stats),
      rxBytes: count(Number(stats.rxBytes)),
      txBytes: count(Number(stats.txBytes)),
    });
  }

  /** What a client last reported about the node with this id or, if it reported no id, about its only connection. */
  client(peerId: string, remoteNodeId: bigint | undefined): ClientReport | undefined {
    const remotes = this.#clients.get(peerId);
    if (remotes === undefined) return undefined;
    const exact = remoteNodeId === undefined ? undefined : remotes.get(remoteNodeId);
    if (exact !== undefined || remotes.size !== 1) return exact;
    const [only] = remotes.values();
    return only?.remoteNodeId === 0n ? only : undefined;
  }

  clientReports(peerId: string): ClientReport[] {
    return [...(this.#clients.get(peerId)?.values() ?? [])];
  }

  agent(agentId: string): AgentReport | undefined {
    return this.#agents.get(agentId);
  }

  /** Forgets a peer whose connection has ended. */
  forget(peerId: string): void {
    this.#clients.delete(peerId);
    this.#agents.delete(peerId);
  }
}

/** An event that says nothing about the path, such as the first one, keeps what was known about it. */
function clientReport(event: TelemetryEvent, before: ClientReport | undefined, nowMs: number): ClientReport {
  const direct = event.p2pLatency !== undefined || event.p2pEndpoint !== undefined;
  const relayed = event.derpLatency !== undefined && event.p2pLatency === undefined;
  const common = {
    atMs: nowMs,
    remoteNodeId: event.nodeIdRemote,
    homeRegion: event.homeDerp || (before?.homeRegion ?? 0),
    application: event.application.slice(0, MAX_TEXT),
    clientVersion: event.clientVersion.slice(0, MAX_TEXT),
  };
  if (relayed) return { ...common, path: "relayed", endpoint: undefined, latencyMs: durationOf(event.derpLatency) };
  if (direct) {
    const same = before?.path === "direct" ? before : undefined;
    return {
      ...common,
      path: "direct",
      endpoint: classOf(event.p2pEndpoint?.fields) ?? same?.endpoint,
      latencyMs: durationOf(event.p2pLatency) ?? same?.latencyMs,
    };
  }
  return {
    ...common,
    path: before?.path ?? "unknown",
    endpoint: before?.endpoint,
    latencyMs: before?.latencyMs,
  };
}

function classOf(fields: IPFields | undefined): EndpointClass | undefined {
  switch (fields?.class) {
    case IPFields_IPClass.PUBLIC:
      return fields.version === 6 ? "public IPv6" : "public IPv4";
    case IPFields_IPClass.PRIVATE:
      return "private";
    case IPFields_IPClass.LINK_LOCAL:
      return "link-local";
    case IPFields_IPClass.LOOPBACK:
      return "loopback";
    default:
      return undefined;
  }
}

function countedPeers(stats: Stats): AgentReport["peers"] {
  let direct: number | undefined;
  let relayed: number | undefined;
  for (const metric of stats.metrics) {
    if (metric.name !== PEERS_METRIC) continue;
    const type = metric.labels.find((label) => label.name === "connection_type")?.value;
    if (type === "p2p") direct = count(metric.value);
    if (type === "derp") relayed = count(metric.value);
  }
  return direct === undefined && relayed === undefined ? undefined : { direct: direct ?? 0, relayed: relayed ?? 0 };
}

function durationOf(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : latency(durationMs(duration));
}

/** Peers may send anything; a latency must be positive and below an hour. */
function latency(ms: number): number | undefined {
  return Number.isFinite(ms) && ms >= 0 && ms < 3_600_000 ? ms : undefined;
}

function count(value: number): number {
  return Number.isFinite(value) && value > 0 ? Math.min(Math.round(value), Number.MAX_SAFE_INTEGER) : 0;
}

function forgetOldest<Key>(map: Map<Key, unknown>, limit: number): void {
  if (map.size < limit) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
