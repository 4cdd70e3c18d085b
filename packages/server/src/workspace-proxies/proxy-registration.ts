/** What the running processes of a proxy state about themselves: their presence, their address, and their end. */

import { isUuid } from "coder-protocol/addresses";
import { NIL_UUID } from "coder-protocol/rest/common";
import type { RegisterProxyRequest } from "coder-protocol/rest/workspace-proxies";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import type { Logger } from "../base/log.ts";
import { RateLimit } from "../base/rate-limit.ts";
import { withoutNul } from "../base/text.ts";
import type { WorkspaceProxyReplicaRow, WorkspaceProxyRow } from "../db/schema.ts";
import type { Store, Tables } from "../db/store.ts";
import type { OwnHosts } from "./address-overlap.ts";
import { UNCONFIRMED } from "./app-proxies.ts";
import { altered, type HealthColumns, healthColumns, healthOf, observed, unregistered } from "./health-state.ts";
import { checkedAccessUrl, checkedWildcard, refuseOverlap } from "./proxy-addresses.ts";
import { invalidToken } from "./proxy-authenticator.ts";
import type { ProxyChecks } from "./proxy-checks.ts";
import type { ProxyDirectory } from "./proxy-directory.ts";
import { type JointStatement, jointStatement, REPLICA_MS } from "./proxy-presence.ts";

/** Interval at which a process registers again. */
export const REFRESH_MS = 30_000;
const MAX_REPLICAS = 32;
/** Ended processes are kept for a while, so that a late registration cannot bring one back. */
const KEEP_REPLICAS_MS = 24 * 3_600_000;
const KEEP_REPLICAS = 128;
/** A proxy may change its address after it was unreachable for this long. */
const MOVES_AFTER_MS = 5 * 60_000;
/** Limit for all processes of one proxy, because some registrations cause a check of its address. */
const REGISTRATIONS = { capacity: 4 * MAX_REPLICAS, periodMs: REFRESH_MS };

export interface Registered {
  readonly proxy: WorkspaceProxyRow;
  readonly siblings: readonly WorkspaceProxyReplicaRow[];
}

export interface ProxyRegistrationOptions {
  readonly store: Store;
  readonly directory: ProxyDirectory;
  readonly checks: Pick<ProxyChecks, "checkSoon">;
  readonly ownHosts: () => OwnHosts;
  readonly clock: WallClock;
  readonly log: Pick<Logger, "info" | "warn">;
}

export class ProxyRegistration {
  readonly #options: ProxyRegistrationOptions;
  readonly #rate = new RateLimit(REGISTRATIONS);

  constructor(options: ProxyRegistrationOptions) {
    this.#options = options;
  }

  /**
   * A process of the proxy is running. Throws DomainError "invalid", "unauthenticated" (the token was replaced meanwhile),
   * "contested" (it states another address while the known one answers, or an address of another proxy), "limit-reached" or
   * "too-many".
   */
  async register(proxy: WorkspaceProxyRow, request: RegisterProxyRequest): Promise<Registered> {
    const { store, directory, checks, ownHosts, clock, log } = this.#options;
    const now = clock.now();
    const waitMs = this.#rate.take(proxy.id, now);
    if (waitMs > 0)
      throw new DomainError("too-many", "This proxy registers too often.", {
        retryAfterSeconds: Math.ceil(waitMs / 1_000),
      });
    const stated = statedBy(request);
    const outcome = await store.transaction(async (tables) => {
      // Before the row is locked, because addresses of proxies are changed one at a time.
      const seen = isAnother(proxy, stated);
      if (seen) await tables.settings.lockDeployment();
      const row = await tables.workspaceProxies.locked(proxy.id);
      if (row === undefined || row.token_generation !== proxy.token_generation) throw invalidToken();
      const address = addressOf(row, stated);
      const changes = isAnother(row, stated);
      const moves = changes && row.url !== "";
      if (moves && !mayMove(row, now)) return { refused: row };
      if (changes && !seen) throw changedMeanwhile(row);
      if (changes) refuseOverlap({ ...address, id: row.id }, await tables.workspaceProxies.all(), ownHosts());
      const leaves = row.url !== "" && row.url !== address.url;
      // The known processes are at the old address.
      if (leaves) await tables.workspaceProxies.removeReplicas(row.id);
      await putReplica(tables, row, request, stated, now);
      const replicas = await tables.workspaceProxies.replicas(row.id, now - REPLICA_MS);
      const joined = joint(leaves ? { ...row, ...forgotten(row, now) } : row, replicas, now);
      const columns = { ...address, ...joined, is_confirmed: confirmationOf(row, address, joined) };
      await tables.workspaceProxies.update(row.id, { ...columns, last_registered_at: now });
      if (columns.is_confirmed === 0 || columns.derp_only === 1) await tables.proxyAppGrants.removeOfProxy(row.id);
      return {
        before: row,
        after: { ...row, ...columns },
        moves,
        siblings: replicas.filter((one) => one.id !== stated.replicaId),
      };
    });
    if (outcome.refused !== undefined) {
      log.warn(
        { proxy: proxy.name, known: outcome.refused.url, stated: stated.url },
        "a workspace proxy was refused: it states another address than the one that is known and answers",
      );
      throw elsewhere(outcome.refused);
    }
    const { before, after, moves, siblings } = outcome;
    if (moves) log.info({ proxy: before.name, from: before.url, to: stated.url }, "a workspace proxy moved");
    if (after.is_confirmed < before.is_confirmed) log.warn({ proxy: before.name }, `a workspace proxy ${UNCONFIRMED}`);
    this.#logRegion(before, after);
    const isNews = Object.entries(after).some(([name, value]) => before[name as keyof typeof before] !== value);
    if (isNews) await directory.changed();
    if (isNews || healthOf(after).status !== "ok") checks.checkSoon(before.id);
    return { proxy: after, siblings };
  }

  /** A process of the proxy ends. If it is the last, the region leaves the map. Throws DomainError "not-found". */
  async deregister(proxy: WorkspaceProxyRow, replicaId: string): Promise<void> {
    const { store, directory, clock, log } = this.#options;
    const now = clock.now();
    const { before, after, wasLast } = await store.transaction(async ({ workspaceProxies }) => {
      const row = await workspaceProxies.locked(proxy.id);
      const replica = await workspaceProxies.replica(replicaId.toLowerCase());
      if (row === undefined || replica?.proxy_id !== proxy.id || replica.stopped_at !== null) throw notFound();
      await workspaceProxies.stopReplica(replica.id, now);
      const left = await workspaceProxies.replicas(proxy.id, now - REPLICA_MS);
      const columns =
        left.length > 0
          ? joint(row, left, now)
          : healthColumns(observed(healthOf(row), { kind: "gone", why: "it ended and said so" }, false, now));
      await workspaceProxies.update(row.id, columns);
      return { before: row, after: { ...row, ...columns }, wasLast: left.length === 0 };
    });
    if (wasLast) log.info({ proxy: proxy.name }, "the last process of a workspace proxy ended");
    this.#logRegion(before, after);
    await directory.changed();
  }

  #logRegion(before: WorkspaceProxyRow, after: WorkspaceProxyRow): void {
    if (before.in_map === after.in_map) return;
    this.#options.log.info({ proxy: before.name }, "a workspace proxy's region leaves the relay map");
  }
}

type Stated = ReturnType<typeof statedBy>;

/** What a registration states, after validation. Throws DomainError "invalid". */
function statedBy(request: RegisterProxyRequest) {
  const { replica_id: replicaId, derp_enabled: derpEnabled, derp_only: derpOnly } = request;
  if (derpOnly && !derpEnabled) throw invalid("derp_only", "a proxy that only relays must have its relay enabled");
  if (!isUuid(replicaId) || replicaId === NIL_UUID) throw invalid("replica_id", "must be the UUID of this process");
  return {
    replicaId: replicaId.toLowerCase(),
    url: checkedAccessUrl(request.access_url),
    wildcard_hostname: checkedWildcard(request.wildcard_hostname ?? ""),
    derp_enabled: derpEnabled ? 1 : 0,
    derp_only: derpOnly ? 1 : 0,
    path_apps: request.path_apps === true && !derpOnly ? 1 : 0,
    stun_port: request.stun_port ?? 0,
    version: withoutNul(request.version ?? ""),
  };
}

/** A proxy that only relays states no wildcard host name, so the one that an owner set is kept. */
function addressOf(row: WorkspaceProxyRow, stated: Stated): Pick<WorkspaceProxyRow, "url" | "wildcard_hostname"> {
  const statesNone = stated.derp_only === 1 && stated.wildcard_hostname === "";
  return { url: stated.url, wildcard_hostname: statesNone ? row.wildcard_hostname : stated.wildcard_hostname };
}

function isAnother(row: WorkspaceProxyRow, stated: Stated): boolean {
  const { url, wildcard_hostname } = addressOf(row, stated);
  return row.url !== url || row.wildcard_hostname !== wildcard_hostname;
}

/**
 * The first registration is accepted as it is, because the token has just been issued. After that, only an owner can change where
 * browsers may be sent.
 */
function confirmationOf(
  row: WorkspaceProxyRow,
  { url, wildcard_hostname }: ReturnType<typeof addressOf>,
  { derp_only }: JointStatement,
): number {
  // Before the proxy registers, an owner may have set a part of the address.
  const contradicts =
    (row.url !== "" && row.url !== url) ||
    (row.url + row.wildcard_hostname !== "" && row.wildcard_hostname !== wildcard_hostname);
  const servesMore = row.last_registered_at !== null && row.derp_only === 1 && derp_only === 0;
  return contradicts || servesMore ? 0 : row.is_confirmed;
}

/** What its running processes state together. A difference that affects the relay map counts as a change of the map. */
function joint(
  row: WorkspaceProxyRow,
  replicas: readonly WorkspaceProxyReplicaRow[],
  now: number,
): JointStatement & HealthColumns {
  const statement = jointStatement(row, replicas);
  const { health, health_at, health_failures, in_map } = row;
  const known = { health, health_at, health_failures, in_map };
  const alters = statement.derp_enabled !== row.derp_enabled || statement.stun_port !== row.stun_port;
  if (!alters || in_map === 0) return { ...statement, ...known };
  return { ...statement, ...healthColumns(altered(healthOf(row), statement.derp_enabled === 1, now)) };
}

function mayMove(row: WorkspaceProxyRow, now: number): boolean {
  const { status, since } = healthOf(row);
  return status === "unregistered" || (status === "unreachable" && now - since > MOVES_AFTER_MS);
}

async function putReplica(
  { workspaceProxies }: Tables,
  { id: proxyId }: WorkspaceProxyRow,
  request: RegisterProxyRequest,
  { replicaId: id, derp_enabled, derp_only, path_apps, stun_port, version }: Stated,
  now: number,
): Promise<void> {
  const known = await workspaceProxies.replica(id);
  if (known !== undefined && known.proxy_id !== proxyId) throw invalid("replica_id", "is that of another proxy");
  if (known !== undefined && known.stopped_at !== null)
    throw invalid("replica_id", "is that of a process that ended; one that starts takes another");
  if (known === undefined) {
    await workspaceProxies.forgetReplicas(proxyId, now - KEEP_REPLICAS_MS, KEEP_REPLICAS);
    if ((await workspaceProxies.replicas(proxyId, now - REPLICA_MS)).length >= MAX_REPLICAS)
      throw new DomainError("limit-reached", `A workspace proxy has at most ${MAX_REPLICAS} processes.`);
  }
  await workspaceProxies.putReplica({
    id,
    proxy_id: proxyId,
    hostname: withoutNul(request.hostname ?? ""),
    relay_address: relayAddress(request.replica_relay_address ?? ""),
    version,
    error: withoutNul(request.replica_error ?? ""),
    derp_enabled,
    derp_only,
    path_apps,
    stun_port,
    started_at: known?.started_at ?? now,
    updated_at: now,
    stopped_at: null,
  });
}

/** The new address was not checked yet, so nothing is known about the proxy there. */
function forgotten(row: WorkspaceProxyRow, now: number): HealthColumns {
  const { changes, heldUntil } = observed(healthOf(row), { kind: "gone", why: "it moved" }, false, now);
  return healthColumns({ ...unregistered(now), changes, heldUntil });
}

/** The address that siblings of the proxy dial. Throws DomainError "invalid". */
function relayAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (text === "" || url?.protocol === "http:" || url?.protocol === "https:") return url?.origin ?? "";
  throw invalid("replica_relay_address", "must be of the form https://host or http://host:port, or empty");
}

function elsewhere({ name, url }: WorkspaceProxyRow): DomainError {
  return new DomainError("contested", `The workspace proxy "${name}" is known at another address.`, {
    detail:
      `It is at ${url}. Stop the proxy there and wait five minutes, or have an owner run ` +
      `"coder wsproxy edit ${name}" with --access-url or --wildcard-access-url.`,
  });
}

function changedMeanwhile({ name }: WorkspaceProxyRow): DomainError {
  return new DomainError("contested", `The address of the workspace proxy "${name}" was changed at the same time.`, {
    detail: "Register again.",
  });
}

function invalid(field: string, detail: string): DomainError {
  return new DomainError("invalid", `The registration is not valid: ${field} ${detail}.`, {
    validations: [{ field, detail }],
  });
}
