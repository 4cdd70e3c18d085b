/** Decides which servers may share a database while they are updated one at a time. */
import { type Kysely, sql } from "kysely";
import { ServerError } from "../../base/errors.ts";
import { pause } from "../../base/gradual-end.ts";
import { DATABASE_NOW_MS } from "../../db/dialect.ts";
import type { Database } from "../../db/schema.ts";
import { LOST_AFTER_MS } from "./view.ts";

/**
 * Version of the rows, hints and links that the servers of a cluster share. A server understands its own protocol, the one before
 * and the one after. One step may add kinds of peers and events, columns with a default, tables, and words at the end of a hint,
 * all of which the earlier protocol ignores. What a step replaces is kept for one more step.
 */
export const CLUSTER_PROTOCOL = 1;

interface FarServer {
  readonly hostname: string;
  readonly version: string;
  readonly protocol: number;
}

/**
 * Refuses to run beside a server whose protocol is two or more steps away, before this one writes anything. The row of a killed
 * server looks current for a while, so only one that outlasts that time counts. Throws ServerError ERR_CLUSTER_PROTOCOL, or
 * `wait.signal.reason`.
 */
export async function requireNearProtocols(
  db: Kysely<Database>,
  wait: { readonly everyMs: number; readonly tries: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  for (let left = wait.tries; ; left--) {
    // A server that is stopped here does not know yet which servers are beside it, so it must not go on to change the schema.
    wait.signal?.throwIfAborted();
    const [far] = await farServers(db);
    if (far === undefined) return;
    if (left === 0) throw tooFar(far);
    await pause(wait.everyMs, wait.signal);
  }
}

async function farServers(db: Kysely<Database>): Promise<readonly FarServer[]> {
  const { rows: tables } = await sql<{ name: string | null }>`select to_regclass('tailnet_servers') as name`.execute(
    db,
  );
  if (tables[0]?.name === null) return []; // no server of a cluster has used this database
  // Servers that are stopping are ignored: they give their peers to the others and write little else.
  const { rows } = await sql<FarServer>`
    select s.protocol, coalesce(r.hostname, '') as hostname, coalesce(r.version, '') as version
      from tailnet_servers s left join replicas r on r.id = s.replica_id
      where s.draining_at is null and ${DATABASE_NOW_MS} - s.heartbeat_at < ${LOST_AFTER_MS}
        and abs(s.protocol - ${CLUSTER_PROTOCOL}) > 1
      order by r.started_at, s.id`.execute(db);
  return rows;
}

function tooFar({ hostname, version, protocol }: FarServer): ServerError {
  const other = `${hostname === "" ? "another server" : `the server on ${hostname}`}${version === "" ? "" : `, ${version},`}`;
  return new ServerError("ERR_CLUSTER_PROTOCOL", "A server of a release too far from this one uses the database", {
    why: `${other} has protocol ${protocol}, and this release understands those from ${CLUSTER_PROTOCOL - 1} to ${CLUSTER_PROTOCOL + 1}`,
    nextSteps: [
      "update the servers to each release in between, one release after the other",
      "or stop all of them before the first of this release starts",
    ],
  });
}
