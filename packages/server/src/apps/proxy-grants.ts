/**
 * What workspace proxies serve at present. A grant is written with each app token and renewed while the app is in use; a proxy
 * may have a tunnel to an agent only while a recent grant for it holds.
 */
import { hashSecret } from "../auth/tokens.ts";
import type { WallClock } from "../base/clock.ts";
import type { ProxyAppGrantRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import { type ProxyApp, proxyAppText, readProxyApp } from "./proxy-app.ts";

/** After its last renewal a grant counts for this long. Proxies renew what is in use every minute. */
export const GRANT_MS = 10 * 60_000;
/** Of one login, proxy and agent. */
const MAX_GRANTS = 256;
const SWEEP_MS = 60_000;

export interface NewGrant extends Pick<ProxyAppGrantRow, "workspace_id" | "owner_id" | "agent_id"> {
  readonly proxyId: string;
  /** Undefined for an anonymous visitor. */
  readonly visitor: { readonly keyId: string; readonly userId: string } | undefined;
  readonly app: ProxyApp;
  /** What a terminal is renewed by. Apps have none: a login and an app are one grant, however often it is asked for. */
  readonly handle?: string;
}

export interface ProxyGrantsOptions {
  readonly store: Pick<Store, "proxyAppGrants" | "transaction">;
  /** Whether the same would be decided now. */
  readonly holds: (row: ProxyAppGrantRow, app: ProxyApp) => Promise<boolean>;
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
    const keyId = visitor?.keyId ?? "";
    const idHash = hashSecret(handle ?? JSON.stringify([proxyId, keyId, ids.agent_id, text]));
    if (await store.proxyAppGrants.renew(idHash, now - GRANT_MS, now)) return;
    const row: ProxyAppGrantRow = {
      ...ids,
      id_hash: idHash,
      proxy_id: proxyId,
      key_id: keyId,
      user_id: visitor?.userId ?? "",
      app: text,
      renewed_at: now,
    };
    await store.transaction(({ proxyAppGrants }) => proxyAppGrants.put(row, MAX_GRANTS));
  }

  /** The recent grant of this handle, if it is the proxy's. Whether it still holds is not looked at. */
  async byHandle(proxyId: string, handle: string): Promise<ProxyAppGrantRow | undefined> {
    const { clock, store } = this.#options;
    const row = await store.proxyAppGrants.byHash(hashSecret(handle));
    const counts = row?.proxy_id === proxyId && row.renewed_at > clock.now() - GRANT_MS;
    return counts ? row : undefined;
  }

  /** The workspace of the agent, where a recent grant for it holds now. Those that hold no more go. */
  async workspaceOf(proxyId: string, agentId: string): Promise<string | undefined> {
    const { store, holds } = this.#options;
    const ended: string[] = [];
    let workspaceId: string | undefined;
    for (const row of await store.proxyAppGrants.recent(proxyId, this.#since, agentId)) {
      const app = readProxyApp(row.app);
      if (app !== undefined && (await holds(row, app))) {
        workspaceId = row.workspace_id;
        break;
      }
      ended.push(row.id_hash);
    }
    await store.proxyAppGrants.remove(ended);
    return workspaceId;
  }

  /** Of these agents, those whose tunnels a change of the user's rights, or the end of a login, may have ended. */
  async concerned(proxyId: string, agentIds: readonly string[], userId: string): Promise<string[]> {
    const rows = await this.#options.store.proxyAppGrants.recent(proxyId, this.#since);
    const untouched = new Set(agentIds);
    const granted = new Set<string>();
    for (const row of rows) {
      granted.add(row.agent_id);
      if (row.user_id === userId || row.owner_id === userId) untouched.delete(row.agent_id);
    }
    return agentIds.filter((agentId) => !granted.has(agentId) || !untouched.has(agentId));
  }

  /** The workspaces that the proxy serves at present, each with the users that it serves it to. */
  async workspacesOf(proxyId: string): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
    const served = new Map<string, Set<string>>();
    for (const row of await this.#options.store.proxyAppGrants.recent(proxyId, this.#since)) {
      if (row.user_id === "") continue;
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
