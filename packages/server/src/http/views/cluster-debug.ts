/** GET /api/v2/debug/cluster: the servers of the deployment as one of them sees them. */
import { formatTime } from "../../base/clock.ts";
import { shortReplicaId } from "../../base/replica-id.ts";
import type { Replica } from "../../control/cluster/cluster-database.ts";
import type { Fault, WatchedServer } from "../../control/cluster/cluster-watch.ts";
import type { ConnectionPool } from "../../db/backend.ts";
import type { SiblingStatus } from "../../relay/relay-mesh.ts";

export interface ClusterDebugFacts {
  readonly own: Replica;
  /** Undefined if there is only one server. */
  readonly cluster:
    | {
        readonly state: string;
        readonly mode: "listen" | "poll";
        readonly waitingRows: number;
        readonly skewMs: number;
        readonly servers: readonly WatchedServer[];
        readonly recovered: number;
        readonly reconciled: number;
        readonly faults: readonly Fault[];
      }
    | undefined;
  readonly links: readonly SiblingStatus[];
  readonly pool: ConnectionPool | undefined;
}

export function clusterDebug({ own, cluster, links, pool }: ClusterDebugFacts) {
  return {
    replica: replicaFacts(own),
    state: cluster?.state ?? null,
    notifications: cluster?.mode ?? null,
    outbox_rows: cluster?.waitingRows ?? 0,
    recovered: cluster?.recovered ?? 0,
    reconciled: cluster?.reconciled ?? 0,
    skew_ms: cluster?.skewMs ?? 0,
    database_latency_us: own.databaseLatencyUs,
    pool: pool === undefined ? null : { max: pool.max, used: pool.used, idle: pool.idle, waiting: pool.waiting },
    servers: (cluster?.servers ?? []).map(({ id, replicaId, replica, state, head, seen, ageMs }) => ({
      server: id,
      short_id: shortReplicaId(replicaId),
      replica: replica === undefined ? null : replicaFacts(replica),
      state,
      head,
      seen,
      lag: head - seen,
      heartbeat_age_ms: ageMs,
    })),
    links: links.map(({ id, hostname, relayUrl, state, keys, forwarded, dropped, rttMs, error }) => ({
      short_id: shortReplicaId(id),
      hostname,
      url: relayUrl,
      state,
      keys,
      forwarded,
      dropped,
      rtt_ms: rttMs ?? null,
      error: state === "up" ? null : (error ?? null),
    })),
    faults: (cluster?.faults ?? []).map(({ what, count, lastAtMs }) => ({
      what,
      count,
      last_at: formatTime(lastAtMs),
    })),
  };
}

function replicaFacts({ id, hostname, version, regionId, relayAddress, startedAt, error }: Replica) {
  return {
    id,
    short_id: shortReplicaId(id),
    hostname,
    version,
    region_id: regionId,
    relay_address: relayAddress,
    started_at: formatTime(startedAt),
    error,
  };
}
