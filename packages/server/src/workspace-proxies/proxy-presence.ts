/** Which processes of a proxy are running, and what they state together. Pure. */
import type { WorkspaceProxyReplicaRow, WorkspaceProxyRow } from "../db/schema.ts";

/** A process that has not registered for this long, three times the interval, counts as gone. */
export const REPLICA_MS = 90_000;
/**
 * A proxy continues to serve for this long without its primary, and a region stays in the map for as long without a registration.
 */
export const UNCONFIRMED_MS = 15 * 60_000;

type Seen = Pick<WorkspaceProxyReplicaRow, "updated_at">;

/**
 * Whether what answers at the proxy's address may be taken for the proxy. A region enters the map only while a process is
 * registered with the current token; one that is in the map stays during an outage of the primary, which interrupts
 * registrations.
 * @param replicas Its processes that registered within UNCONFIRMED_MS and have not ended.
 */
export function isAttended(inMap: boolean, replicas: readonly Seen[], now: number): boolean {
  const since = now - (inMap ? UNCONFIRMED_MS : REPLICA_MS);
  return replicas.some(({ updated_at: registeredAt }) => registeredAt > since);
}

type Stated = "derp_enabled" | "derp_only" | "path_apps" | "stun_port" | "version";
export type JointStatement = Pick<WorkspaceProxyRow, Stated>;
type Statement = Pick<WorkspaceProxyReplicaRow, Stated>;

/**
 * What the proxy offers. A client may reach any of its processes at the one address, so a relay and a STUN server count only if
 * all processes have them. The version is that of the process that started last. The order of registrations has no influence.
 * @param known Used if no process states anything.
 * @param replicas The running processes, in the order of their starts.
 */
export function jointStatement(known: JointStatement, replicas: readonly Statement[]): JointStatement {
  return {
    derp_enabled: agreed(known.derp_enabled, replicas, "derp_enabled"),
    // More than a relay is served only if all processes serve it.
    derp_only: replicas.some((replica) => replica.derp_only === 1) ? 1 : agreed(known.derp_only, replicas, "derp_only"),
    // A program that states nothing about them serves none.
    path_apps: replicas.length === 0 ? known.path_apps : Number(replicas.every((replica) => replica.path_apps === 1)),
    stun_port: agreed(known.stun_port, replicas, "stun_port"),
    version: replicas.at(-1)?.version ?? known.version,
  };
}

/** The value that all processes state; 0 if they differ. */
function agreed(
  known: number,
  replicas: readonly Statement[],
  column: "derp_enabled" | "derp_only" | "stun_port",
): number {
  const stated = new Set(replicas.map((replica) => replica[column]).filter((value) => value !== null));
  if (stated.size === 0) return known;
  const [value = 0] = stated;
  return stated.size === 1 ? value : 0;
}
