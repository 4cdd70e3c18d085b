/**
 * Records what workspace proxies serve at present. A grant is written with each app token and renewed while the app is in use; a
 * proxy may have a tunnel to an agent only while a recent grant for that agent holds.
 */
import { hashSecret } from "../auth/tokens.ts";
import type { WallClock } from "../base/clock.ts";
import type { ProxyAppGrantRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { ProxiedApp } from "./proxied-apps.ts";
import { type ProxyApp, proxyAppText, readProxyApp } from "./proxy-app.ts";

/**
 * A grant stays valid for this long after its last renewal. Proxies renew grants in use every minute and keep serving for 15
 * minutes without an answer, so a shorter outage between the two servers ends nothing.
 */
export const GRANT_MS = 16 * 60_000;
/**
 * An ended grant is kept for this long after its last renewal, as long as the proxy may still serve under it: every server of the
 * deployment uses it to find out which proxies it has to inform.
 */
const ENDED_GRANT_MS = 2 * 60_000;
/** Maximum number of grants for one login, proxy and agent. */
const MAX_GRANTS = 256;
const SWEEP_MS = 60_000;

/** How many logins, and how many apps of one login, are looked up in parallel. */
const IN_PARALLEL = 8;

interface Grant {
  readonly row: ProxyAppGrantRow;
  readonly app: ProxyApp;
}

export interface NewGrant extends Pick<ProxyAppGrantRow, "workspace_id" | "owner_id" | "agent_id"> {
  readonly proxyId: string;
  readonly visitor: { readonly keyId: string; readonly userId: string };
  readonly app: ProxyApp;
  /**
   * The handle that renews a terminal's grant. Apps have none: one login and one app share a grant, however often it is
   * requested.
   */
  readonly handle?: string;
}

export interface ProxyGrantsOptions {
  readonly store: Pick<Store, "proxyAppGrants" | "transaction">;
  /** Whether the login may have a tunnel to the agent through a proxy. */
  readonly mayReach: (keyId: string, agentId: string) => Promise<boolean>;
  /** Whether the same decision about the app would be made now. */
  readonly holds: (row: ProxyAppGrantRow, app: ProxiedApp) => Promise<boolean>;
  readonly clock: WallClock;
  readonly onError: (error: unknown) => void;
}

export class ProxyGrants {
  readonly #options: ProxyGrantsOptions;
  readonly #timer: NodeJS.Timeout;

  constructor(options: ProxyGrantsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      const { clock, store, onError } = options;
      store.proxyAppGrants.sweep(clock.now() - GRANT_MS).catch(onError);
    }, SWEEP_MS);
    this.#timer.unref();
  }

  async put(grant: NewGrant): Promise<void> {
    const { clock, store } = this.#options;
    const { proxyId, visitor, app, handle, ...ids } = grant;
    const now = clock.now();
    const text = proxyAppText(app);
    const { keyId, userId } = visitor;
    const idHash = handle === undefined ? hashOfApp(proxyId, keyId, ids.agent_id, text) : hashOfHandle(handle);
    if (await store.proxyAppGrants.renew(idHash, now - GRANT_MS, now)) return;
    const row: ProxyAppGrantRow = {
      ...ids,
      id_hash: idHash,
      proxy_id: proxyId,
      key_id: keyId,
      user_id: userId,
      app: text,
      renewed_at: now,
    };
    await store.transaction(({ proxyAppGrants }) => proxyAppGrants.put(row, MAX_GRANTS));
  }

  /** The recent grant with this handle, if it belongs to the proxy. Whether it still holds is not checked. */
  async byHandle(proxyId: string, handle: string): Promise<ProxyAppGrantRow | undefined> {
    const row = await this.#options.store.proxyAppGrants.byHash(hashOfHandle(handle));
    const counts = row?.proxy_id === proxyId && row.renewed_at > this.#since;
    return counts && readProxyApp(row.app)?.method === "terminal" ? row : undefined;
  }

  /**
   * The workspace of the agent, if a recent grant for the agent holds now. Grants that no longer hold are removed after a while.
   * Grants that another release wrote and this one cannot read are ignored and kept.
   */
  async workspaceOf(proxyId: string, agentId: string): Promise<string | undefined> {
    const { proxyAppGrants } = this.#options.store;
    const ended: ProxyAppGrantRow[] = [];
    const logins = new Map<string, Grant[]>();
    for (const row of await proxyAppGrants.recent(proxyId, this.#since, agentId)) {
      const app = readProxyApp(row.app);
      if (app === undefined) continue;
      const grants = logins.get(row.key_id) ?? [];
      logins.set(row.key_id, grants);
      grants.push({ row, app });
    }
    const all = [...logins.values()];
    let found: string | undefined;
    for (let at = 0; at < all.length && found === undefined; at += IN_PARALLEL) {
      const looked = all.slice(at, at + IN_PARALLEL).map((grants) => this.#workspaceOfLogin(grants, ended));
      found = (await Promise.all(looked)).find((workspaceId) => workspaceId !== undefined);
    }
    const over = ended.filter(({ renewed_at }) => renewed_at <= this.#options.clock.now() - ENDED_GRANT_MS);
    await proxyAppGrants.remove(over.map(({ id_hash }) => id_hash));
    return found;
  }

  /** Like {@link workspaceOf}, for the grants of one login. */
  async #workspaceOfLogin(grants: readonly Grant[], ended: ProxyAppGrantRow[]): Promise<string | undefined> {
    const { holds, mayReach } = this.#options;
    const [first] = grants;
    if (first === undefined) return undefined;
    const { key_id, agent_id, workspace_id } = first.row;
    if (key_id === "" || !(await mayReach(key_id, agent_id))) {
      ended.push(...grants.map(({ row }) => row));
      return undefined;
    }
    if (grants.some(({ app }) => app.method === "terminal")) return workspace_id;
    for (let at = 0; at < grants.length; at += IN_PARALLEL) {
      const some = grants.slice(at, at + IN_PARALLEL);
      const looked = await Promise.all(some.map(({ row, app }) => app.method !== "terminal" && holds(row, app)));
      for (const [index, { row }] of some.entries()) if (looked[index] !== true) ended.push(row);
      if (looked.includes(true)) return workspace_id;
    }
    return undefined;
  }

  /** Those of `agentIds` whose tunnels may have ended because the rights of these users changed or a login ended. */
  async concerned(proxyId: string, agentIds: readonly string[], userIds: readonly string[]): Promise<string[]> {
    const { proxyAppGrants } = this.#options.store;
    const [granted, touched] = await Promise.all([
      proxyAppGrants.agents(proxyId, this.#since, agentIds),
      proxyAppGrants.agents(proxyId, this.#since, agentIds, userIds),
    ]);
    return agentIds.filter((agentId) => !granted.has(agentId) || touched.has(agentId));
  }

  /** The workspaces that the proxy serves at present, each with the users to whom it serves it. */
  async workspacesOf(proxyId: string): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
    const served = new Map<string, Set<string>>();
    for (const row of await this.#options.store.proxyAppGrants.recent(proxyId, this.#since)) {
      const users = served.get(row.workspace_id) ?? new Set();
      served.set(row.workspace_id, users.add(row.user_id));
    }
    return served;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  get #since(): number {
    return this.#options.clock.now() - GRANT_MS;
  }
}

/** The ids of terminals are random and those of apps are not, so each kind has its own hash input. */
function hashOfHandle(handle: string): string {
  return hashSecret(`terminal ${handle}`);
}

function hashOfApp(proxyId: string, keyId: string, agentId: string, app: string): string {
  return hashSecret(`app ${JSON.stringify([proxyId, keyId, agentId, app])}`);
}
