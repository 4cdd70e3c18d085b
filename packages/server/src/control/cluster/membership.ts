import { randomUUID } from "node:crypto";
import type { DatabaseClock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";
import type { OpenConnection } from "../../db/dedicated.ts";
import type { ControlPlane } from "../control-plane.ts";
import { ClusterCore } from "./cluster-core.ts";
import type { Replica } from "./cluster-database.ts";
import type { ClusterEvents } from "./cluster-events.ts";
import { ClusterLink } from "./cluster-link.ts";
import type { ClusterMetrics } from "./cluster-metrics.ts";
import { PostgresClusterDatabase } from "./cluster-tables.ts";
import type { ClusterWatch } from "./cluster-watch.ts";
import { WatchedClusterDatabase } from "./watched-database.ts";

/** Makes a server one of several on its database. The link is opened before the server takes its first peer. */
export function clusterOf(options: {
  readonly openConnection: OpenConnection;
  readonly control: ControlPlane;
  readonly replica: Omit<Replica, "error" | "databaseLatencyUs">;
  readonly clock: DatabaseClock;
  readonly log: Logger;
  readonly events: ClusterEvents;
  /** What operators see of it. */
  readonly watch: ClusterWatch;
  readonly metrics: ClusterMetrics;
  /** What is wrong with this server, as its siblings should know; "" for nothing. */
  readonly problem: () => string;
  readonly onReplicas: (replicas: readonly Replica[]) => void;
}): ClusterLink {
  const { control, clock, log, replica, events, problem, onReplicas } = options;
  const me = randomUUID();
  const now = (): number => clock.now();
  const link = new ClusterLink({
    database: new WatchedClusterDatabase(new PostgresClusterDatabase(options.openConnection), {
      watch: options.watch,
      metrics: options.metrics,
      now,
    }),
    core: new ClusterCore({ me, coordinator: control.coordinator, now, databaseMs: now }),
    me,
    replica,
    log,
    problem,
    onReplicas,
    onEvent: (event) => events.apply(event),
    onAdopted: (event) => events.adopt(event),
    onDatabaseTime: (databaseMs, roundTripMs) => clock.measured(databaseMs, roundTripMs),
  });
  control.joinCluster(link);
  events.start((event) => link.tell(event));
  return link;
}

/** Of the servers that are there, those whose relay this server's may link to. */
export function siblingsOf(
  replicas: readonly Replica[],
  ownId: string,
  regionId: number,
): { readonly id: string; readonly hostname: string; readonly relayUrl: string }[] {
  return replicas
    .filter((replica) => replica.id !== ownId && replica.relayAddress !== "" && replica.regionId === regionId)
    .map(({ id, hostname, relayAddress }) => ({ id, hostname, relayUrl: relayAddress }));
}
