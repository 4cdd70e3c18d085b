import type { Replica as ReplicaView } from "coder-protocol/rest/deployment";
import { formatTime } from "../../base/clock.ts";
import type { Replica } from "../../control/cluster/cluster-database.ts";
import { requireOwner } from "../guards.ts";
import type { Guard, Router } from "../hono.ts";

export interface ReplicaRoutesDeps {
  readonly user: Guard;
  /** The servers that exist, the answering one first. */
  readonly replicas: () => readonly Replica[];
}

export function replicaRoutes(router: Router, { user, replicas }: ReplicaRoutesDeps): void {
  router.get("/replicas", user, requireOwner, (c) => c.json(replicas().map(replicaView)));
}

function replicaView(replica: Replica): ReplicaView {
  return {
    id: replica.id,
    hostname: replica.hostname,
    created_at: formatTime(replica.startedAt),
    relay_address: replica.relayAddress,
    region_id: replica.regionId,
    error: replica.error,
    database_latency: replica.databaseLatencyUs,
    version: replica.version,
  };
}
