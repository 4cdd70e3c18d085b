/** How owners create, change and delete workspace proxies. */

import { randomUUID } from "node:crypto";
import { PRIMARY_PROXY_NAME } from "coder-protocol/proxy-names";
import type { PatchWorkspaceProxyRequest } from "coder-protocol/rest/workspace-proxies";
import type { AccessChanges } from "../auth/access-changes.ts";
import { hashSecret } from "../auth/tokens.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import { isUniqueViolation } from "../db/dialect.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { Store, Tables } from "../db/store.ts";
import type { OwnHosts, ProxyAddress } from "./address-overlap.ts";
import { healthColumns, healthOf, observed } from "./health-state.ts";
import { checkedAccessUrl, checkedWildcard, refuseOverlap } from "./proxy-addresses.ts";
import type { ProxyDirectory } from "./proxy-directory.ts";
import { proxyRegionIdLimit } from "./proxy-regions.ts";
import { formatProxyToken, mintProxyToken } from "./proxy-token.ts";

/** Each proxy adds a region to the relay map, and every client measures the latency to all of them. */
const MAX_PROXIES = 256;

type ProxyColumns = Partial<
  Pick<WorkspaceProxyRow, "name" | "name_key" | "display_name" | "icon" | "url" | "wildcard_hostname">
>;

export interface ProxyWithToken {
  readonly proxy: WorkspaceProxyRow;
  /** "" if no token was made. */
  readonly token: string;
}

export interface NewProxy {
  readonly name: string;
  readonly displayName: string;
  readonly icon: string;
}

export interface ProxyAdministrationOptions {
  readonly store: Store;
  readonly directory: ProxyDirectory;
  readonly accessChanges: AccessChanges;
  readonly ownHosts: () => OwnHosts;
  readonly regionIdOf: (regionNumber: number) => number;
  readonly clock: WallClock;
}

export class ProxyAdministration {
  readonly #options: ProxyAdministrationOptions;

  constructor(options: ProxyAdministrationOptions) {
    this.#options = options;
  }

  /** Finds a proxy by id or name. */
  async find(which: string): Promise<WorkspaceProxyRow | undefined> {
    const { workspaceProxies } = this.#options.store;
    return (await workspaceProxies.byId(which.toLowerCase())) ?? (await workspaceProxies.byName(which));
  }

  /** Throws DomainError "invalid", "taken" or "limit-reached". */
  async create({ name, displayName, icon }: NewProxy): Promise<ProxyWithToken> {
    refuseReserved(name);
    const { store, directory, clock } = this.#options;
    const id = randomUUID();
    const { token, hash } = newToken(id);
    const now = clock.now();
    const proxy = await refusingTaken(name, () =>
      store.transaction(async ({ settings, workspaceProxies }) => {
        await settings.lockDeployment();
        if ((await workspaceProxies.byName(name)) !== undefined) throw taken(name);
        if ((await workspaceProxies.all()).length >= MAX_PROXIES)
          throw new DomainError("limit-reached", `A deployment has at most ${MAX_PROXIES} workspace proxies.`);
        const regionNumber = await workspaceProxies.nextRegionNumber();
        this.#refuseBeyond(regionNumber);
        const row: WorkspaceProxyRow = {
          id,
          name,
          name_key: name.toLowerCase(),
          display_name: displayName,
          icon,
          token_hash: hash,
          token_generation: 1,
          region_number: regionNumber,
          url: "",
          wildcard_hostname: "",
          is_confirmed: 1,
          derp_enabled: 0,
          derp_only: 0,
          path_apps: 0,
          stun_port: 0,
          version: "",
          created_at: now,
          updated_at: now,
          last_registered_at: null,
          health: "",
          health_at: null,
          health_failures: 0,
          check_claimed_at: 0,
          in_map: 0,
          deleted_at: null,
        };
        await workspaceProxies.insert(row);
        return row;
      }),
    );
    await directory.changed();
    return { proxy, token };
  }

  /**
   * Empty and missing fields leave the proxy as it is, except that an empty wildcard host name removes it. Throws DomainError
   * "invalid", "taken", "contested" or "not-found".
   */
  async edit(id: string, change: PatchWorkspaceProxyRequest): Promise<ProxyWithToken> {
    const { name = "" } = change;
    if (name !== "") refuseReserved(name);
    const columns = changedColumns(change);
    const made = change.regenerate_token === true ? newToken(id) : undefined;
    const { accessChanges, directory, ownHosts } = this.#options;
    const now = this.#options.clock.now();
    // The transaction itself returns the row, so that after its commit the token is shown even if the database is away.
    const proxy = await refusingTaken(name, () =>
      accessChanges.transaction(async (tables, ends) => {
        const moves = columns.url !== undefined || columns.wildcard_hostname !== undefined;
        if (moves) await tables.settings.lockDeployment();
        const proxy = await tables.workspaceProxies.locked(id);
        if (proxy === undefined) throw notFound();
        if (moves) refuseOverlap({ ...proxy, ...columns }, await tables.workspaceProxies.all(), ownHosts());
        const other = name === "" ? undefined : await tables.workspaceProxies.byName(name);
        if (other !== undefined && other.id !== id) throw taken(name);
        await tables.workspaceProxies.update(id, { ...columns, ...confirmation(proxy, columns), updated_at: now });
        if (columns.url !== undefined && columns.url !== proxy.url) {
          await tables.workspaceProxies.removeReplicas(id);
          await recordGone(tables, proxy, "an owner gave it another access URL", now);
        }
        if (made !== undefined) {
          await tables.workspaceProxies.update(id, {
            token_hash: made.hash,
            token_generation: proxy.token_generation + 1,
          });
          await tables.workspaceProxies.removeReplicas(id);
          await tables.proxyAppGrants.removeOfProxy(id);
          ends({ kind: "proxy-revoked", proxyId: id });
          await recordGone(tables, proxy, "its token was replaced, and it has not registered with the new one", now);
        }
        return await tables.workspaceProxies.byId(id);
      }),
    );
    if (proxy === undefined) throw notFound();
    await directory.changed();
    return { proxy, token: made?.token ?? "" };
  }

  /** Its region leaves the map and its sockets are closed. Throws DomainError "not-found". */
  async remove(id: string): Promise<void> {
    const { accessChanges, directory } = this.#options;
    const now = this.#options.clock.now();
    await accessChanges.transaction(async ({ workspaceProxies, proxyAppGrants }, ends) => {
      if ((await workspaceProxies.locked(id)) === undefined) throw notFound();
      await workspaceProxies.update(id, {
        name_key: `deleted:${id}`,
        token_hash: "",
        in_map: 0,
        deleted_at: now,
        updated_at: now,
      });
      await workspaceProxies.removeReplicas(id);
      await proxyAppGrants.removeOfProxy(id);
      ends({ kind: "proxy-revoked", proxyId: id });
    });
    await directory.changed();
  }

  #refuseBeyond(regionNumber: number): void {
    const id = this.#options.regionIdOf(regionNumber);
    const why = proxyRegionIdLimit(id);
    if (why !== undefined) throw new DomainError("limit-reached", `No region is left for another proxy: ${why}.`);
  }
}

/** Only the columns that change; they are applied to the row as it is at that time. Throws DomainError "invalid". */
function changedColumns(change: PatchWorkspaceProxyRequest): ProxyColumns {
  const { name = "", display_name = "", icon = "", access_url = "", wildcard_hostname } = change;
  const columns: ProxyColumns = {};
  if (name !== "") {
    columns.name = name;
    columns.name_key = name.toLowerCase();
  }
  if (display_name !== "") columns.display_name = display_name;
  if (icon !== "") columns.icon = icon;
  if (access_url !== "") columns.url = checkedAccessUrl(access_url);
  if (wildcard_hostname !== undefined) columns.wildcard_hostname = checkedWildcard(wildcard_hostname);
  return columns;
}

/** An owner who sets the whole address has seen where browsers are sent. */
function confirmation(
  proxy: WorkspaceProxyRow,
  given: Partial<ProxyAddress>,
): Partial<Pick<WorkspaceProxyRow, "is_confirmed">> {
  const isWhole = given.url !== undefined && (given.wildcard_hostname !== undefined || proxy.wildcard_hostname === "");
  return isWhole ? { is_confirmed: 1 } : {};
}

/** Its region leaves the map; the first successful check after one of its processes has registered brings it back. */
async function recordGone(
  { workspaceProxies }: Pick<Tables, "workspaceProxies">,
  proxy: WorkspaceProxyRow,
  why: string,
  now: number,
): Promise<void> {
  const health = healthOf(proxy);
  if (health.status === "unregistered") return;
  await workspaceProxies.update(
    proxy.id,
    healthColumns(observed(health, { kind: "gone", why }, proxy.derp_enabled === 1, now)),
  );
}

function newToken(proxyId: string): { readonly token: string; readonly hash: string } {
  const minted = mintProxyToken(proxyId);
  return { token: formatProxyToken(minted), hash: hashSecret(minted.secret) };
}

/** `primary` is the deployment itself, `me` the requesting proxy. */
function refuseReserved(name: string): void {
  const key = name.toLowerCase();
  if (key !== PRIMARY_PROXY_NAME && key !== "me") return;
  throw new DomainError("invalid", `The name "${key}" is reserved.`, {
    validations: [{ field: "name", detail: "Reserved name" }],
  });
}

async function refusingTaken<Result>(name: string, write: () => Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    if (isUniqueViolation(error)) throw taken(name);
    throw error;
  }
}

function taken(name: string): DomainError {
  return new DomainError("taken", `Workspace proxy with name "${name}" already exists.`, {
    validations: [{ field: "name", detail: "This value is already in use and should be unique." }],
  });
}
