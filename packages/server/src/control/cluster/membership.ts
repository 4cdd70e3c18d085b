import { randomUUID } from "node:crypto";
import type { Dialer } from "coder-client/dial/dialer";
import type { DatabaseClock } from "../../base/clock.ts";
import { ServerError } from "../../base/errors.ts";
import { pause } from "../../base/gradual-end.ts";
import type { Logger } from "../../base/log.ts";
import { fetchText } from "../../base/outgoing.ts";
import type { OpenConnection } from "../../db/dedicated.ts";
import type { RelayKeysStream } from "../../workspace-proxies/relay-keys-stream.ts";
import type { ControlPlane } from "../control-plane.ts";
import { ClusterCore } from "./cluster-core.ts";
import type { Replica } from "./cluster-database.ts";
import type { ClusterEvents } from "./cluster-events.ts";
import { ClusterLink } from "./cluster-link.ts";
import type { ClusterMetrics } from "./cluster-metrics.ts";
import { PostgresClusterDatabase } from "./cluster-tables.ts";
import type { ClusterWatch } from "./cluster-watch.ts";
import { isolationEffects } from "./isolation-effects.ts";
import { WatchedClusterDatabase } from "./watched-database.ts";

/** A sibling that takes longer to answer whether it is ready counts as not ready. */
const READY_MS = 2_000;
const MAX_READY_BYTES = 4_096;

/** Makes a server one of several on its database. The link is opened before the server accepts its first peer. */
export function clusterOf(options: {
  readonly openConnection: OpenConnection;
  readonly control: ControlPlane;
  readonly relayKeys: Pick<RelayKeysStream, "endAll">;
  readonly replica: Omit<Replica, "error" | "databaseLatencyUs">;
  readonly clock: DatabaseClock;
  readonly log: Logger;
  readonly events: ClusterEvents;
  /** What operators are shown of the cluster. */
  readonly watch: ClusterWatch;
  readonly metrics: ClusterMetrics;
  /** Makes a dialer for one question to a sibling: certificates may have been renewed since the last one. */
  readonly dialer: () => Pick<Dialer, "agentFor" | "close">;
  /** The problem of this server that its siblings should know; "" if there is none. */
  readonly problem: () => string;
  readonly onReplicas: (replicas: readonly Replica[]) => void;
}): ClusterLink {
  const { control, clock, log, replica, events, problem, onReplicas, dialer } = options;
  const me = randomUUID();
  const now = (): number => clock.now();
  const core = new ClusterCore({
    me,
    coordinator: control.coordinator,
    now,
    databaseMs: now,
    monotonicMs: () => performance.now(),
  });
  const link = new ClusterLink({
    database: new WatchedClusterDatabase(new PostgresClusterDatabase(options.openConnection), {
      watch: options.watch,
      metrics: options.metrics,
      now,
    }),
    core,
    isolation: isolationEffects({ control, view: core.view, relayKeys: options.relayKeys, now, log }),
    isReady: (relayAddress) => isReady(dialer(), relayAddress),
    me,
    replica,
    log,
    problem,
    onReplicas,
    onReconciled: (differences) => {
      options.watch.reconciled += differences;
    },
    onEvent: (event) => events.apply(event),
    onAdopted: (event) => events.adopt(event),
    onDatabaseTime: (databaseMs, roundTripMs) => clock.measured(databaseMs, roundTripMs),
  });
  control.joinCluster(link);
  events.start((event) => link.tell(event));
  return link;
}

/**
 * Refuses to run without an address for siblings while another server is running, because their relays could not be linked. The
 * row of a killed server looks current for a while, so only one that outlasts that time counts. Throws ServerError ERR_CONFIG.
 */
export async function requireRelayAddress(
  link: Pick<ClusterLink, "replicas">,
  wait: { readonly everyMs: number; readonly tries: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  for (let left = wait.tries; link.replicas.length > 1; left--) {
    if (left === 0)
      throw new ServerError("ERR_CONFIG", "a relay address must be set when several servers run", {
        why: `another server uses this database, on ${link.replicas.at(-1)!.hostname}`,
        nextSteps: [
          "set --derp-server-relay-url or CODER_DERP_SERVER_RELAY_URL to a URL that leads to this very server",
          "or switch the embedded relay off with --derp-server-enable=false; a server that is cut off from the database then keeps its clients",
        ],
      });
    await pause(wait.everyMs, wait.signal);
    if (wait.signal?.aborted === true) return;
  }
}

async function isReady(dialer: Pick<Dialer, "agentFor" | "close">, relayAddress: string): Promise<boolean> {
  const signal = AbortSignal.timeout(READY_MS);
  try {
    const answer = await fetchText(dialer, new URL("/readyz", relayAddress), { maxBytes: MAX_READY_BYTES, signal });
    return answer.status === 200;
  } catch {
    return false; // unreachable means not ready
  } finally {
    dialer.close();
  }
}

/** The other servers whose relays this server's relay may link to. */
export function siblingsOf(
  replicas: readonly Replica[],
  ownId: string,
  regionId: number,
): { readonly id: string; readonly hostname: string; readonly relayUrl: string }[] {
  return replicas
    .filter((replica) => replica.id !== ownId && replica.relayAddress !== "" && replica.regionId === regionId)
    .map(({ id, hostname, relayAddress }) => ({ id, hostname, relayUrl: relayAddress }));
}
