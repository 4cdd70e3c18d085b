/**
 * Control connections of workspace proxies. A proxy may have a tunnel to an agent only while it serves one of its apps or
 * terminals to a visitor with a valid right; an event that ends the right ends the tunnel.
 */
import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { PROXY_COORDINATE_PATH } from "coder-protocol/rest/proxy-apps";
import { MISSING_TAILNET_VERSION } from "coder-protocol/version";
import { Counter, type Registry } from "prom-client";
import type { AccessEvent, AccessEvents } from "../auth/access-events.ts";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { type PlaceLimits, Places } from "../base/places.ts";
import type { UpgradeRoute } from "../base/routes.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { WorkspaceProxies } from "../db/workspace-proxies.ts";
import type { ProxyAuthenticator } from "../workspace-proxies/proxy-authenticator.ts";
import type { Changes } from "../workspaces/changes.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { ProxyRight } from "./lost-peers.ts";
import { type PeerAuth, proxyAuth, proxyHolder } from "./peer-auth.ts";
import { requireVersion } from "./require-version.ts";
import type { ResumeHolder } from "./resume-token.ts";
import { TunnelRechecks } from "./tunnel-rechecks.ts";

const ACCESS_ENDED = "access ended";
const TOKEN_ENDED = "the token ended";
const TOKEN_UNKNOWN = "the token could not be looked up";

/** What a proxy serves at present. */
export interface ProxyRights {
  /** The workspace of the agent; undefined if the proxy serves nothing of it for which a right is valid. */
  workspaceOf(proxyId: string, agentId: string): Promise<string | undefined>;
  /** Those of `agentIds` whose tunnels may have ended because the rights of these users changed or a login ended. */
  concerned(proxyId: string, agentIds: readonly string[], userIds: readonly string[]): Promise<string[]>;
}

export interface ProxyTunnelsOptions {
  readonly control: Pick<ControlPlane, "coordinator" | "clients" | "lostPeers" | "rights" | "throwRefusal">;
  readonly proxies: Pick<WorkspaceProxies, "byId">;
  readonly authenticator: ProxyAuthenticator;
  /** Throws DomainError "forbidden" for a proxy that may not serve apps and terminals. */
  readonly requireServing: (proxy: WorkspaceProxyRow) => void;
  readonly rights: ProxyRights;
  readonly accessEvents: AccessEvents;
  readonly changes: Changes;
  readonly limits: { readonly proxySockets: PlaceLimits; readonly recheckMs: number };
  readonly clock: WallClock;
  readonly log: Pick<Logger, "error">;
  readonly metrics: Registry;
}

/** One connection. */
interface ProxyPeer {
  readonly id: string;
  readonly proxy: WorkspaceProxyRow;
  readonly auth: PeerAuth;
  /** Workspace by agent: where tunnels may lead according to the last lookup. */
  readonly admitted: Map<string, string>;
  /** Ends the connection. */
  end(reason: string): void;
}

/** What is known about the tunnels of one proxy. */
interface ProxyState {
  readonly peers: Set<ProxyPeer>;
  /**
   * Like `admitted`, for connections that were lost: such a tunnel continues, and the agent has to be informed when the right to
   * it ends. An entry is removed with that right, at the latest when the proxy no longer renews its grant.
   */
  readonly lost: Map<string, string>;
  readonly rechecks: TunnelRechecks;
  /** The proxy's row when it last connected. */
  proxy: WorkspaceProxyRow;
}

export class ProxyTunnels {
  readonly #options: ProxyTunnelsOptions;
  readonly #places: Places;
  readonly #proxies = new Map<string, ProxyState>();
  readonly #refused: Counter;
  readonly #stop: readonly (() => void)[];
  readonly #stopped = new AbortController();
  /** Counts events that may have ended a right. */
  #changes = 0;
  #isLooking = false;

  constructor(options: ProxyTunnelsOptions) {
    const { accessEvents, changes, limits, metrics } = options;
    this.#options = options;
    this.#places = new Places("control connections of workspace proxies", limits.proxySockets);
    this.#refused = new Counter({
      name: "coder_wsproxy_refused_tunnels_total",
      help: "Tunnels that workspace proxies asked for to agents of which they serve nothing",
      registers: [metrics],
    });
    const timer = setInterval(() => void this.#lookAtAll(), limits.recheckMs);
    timer.unref();
    options.control.lostPeers.onProxy((right, agentId) => this.#watch(right, agentId));
    this.#stop = [
      () => clearInterval(timer),
      () => this.#stopped.abort(),
      accessEvents.subscribe((event) => this.#onAccessEvent(event)),
      changes.subscribe("workspaces", (change) => {
        if (change.kind === "workspace") this.#onWorkspace(change.workspaceId);
      }),
    ];
  }

  get route(): UpgradeRoute {
    return {
      name: "proxy coordinate",
      upgradeOnly: true,
      match: ({ pathname }) => pathname === PROXY_COORDINATE_PATH,
      handle: async (request, socket, head) => {
        this.#options.control.throwRefusal();
        const url = new URL(request.url ?? "/", "http://server");
        const proxy = await this.#options.authenticator.authenticate(request);
        this.#options.requireServing(proxy);
        requireVersion(url, MISSING_TAILNET_VERSION);
        const holder = proxyHolder(proxy.id);
        const resume: ResumeHolder = { kind: "client", userId: holder, keyId: String(proxy.token_generation) };
        const id = this.#options.control.clients.resumedPeer(url, resume) ?? randomUUID();
        const admitted = new Map<string, string>();
        const auth = this.#authOf(proxy, id, admitted);
        const open = this.#options.control.clients.serveKnown(request, socket, head, {
          id,
          auth,
          resume,
          places: this.#places,
        });
        if (open === undefined) return;
        const peer: ProxyPeer = { id, proxy, auth, admitted, end: (reason) => open.end(reason) };
        this.#add(peer);
        void open.closed.then(() => this.#lost(peer));
        // The token may have been replaced between the check and this line, without a listener. The handshake is answered, so a
        // failure ends the connection.
        const holds = await this.#options.authenticator
          .stillHolds(proxy)
          .catch((error: unknown) => this.#failed(error));
        if (holds !== true) open.end(holds === false ? TOKEN_ENDED : TOKEN_UNKNOWN);
      },
    };
  }

  close(): void {
    for (const stop of this.#stop) stop();
  }

  /**
   * An agent has a tunnel with a client of the proxy that was lost and is unknown here: it is watched as if it had been lost
   * here.
   * @returns false if the right to it has ended.
   */
  async #watch({ proxyId, generation }: ProxyRight, agentId: string): Promise<boolean> {
    const proxy = await this.#options.proxies.byId(proxyId);
    if (proxy?.token_generation !== generation) return false;
    const changes = this.#changes;
    const workspaceId = await this.#options.rights.workspaceOf(proxyId, agentId);
    if (workspaceId === undefined) return false;
    const state = this.#proxies.get(proxyId) ?? this.#newState(proxy);
    this.#proxies.set(proxyId, state);
    state.lost.set(agentId, workspaceId);
    // An event that came meanwhile found no tunnel to end.
    if (changes !== this.#changes) void state.rechecks.doubt({ agentIds: [agentId] });
    return true;
  }

  #authOf(proxy: WorkspaceProxyRow, id: string, admitted: Map<string, string>): PeerAuth {
    const right = this.#options.control.rights.seal(id, {
      kind: "proxy",
      proxyId: proxy.id,
      generation: proxy.token_generation,
    });
    return {
      ...proxyAuth(proxy.id, (agentId) => admitted.has(agentId), right),
      beforeTunnel: async (agentId) => {
        const changes = this.#changes;
        const workspaceId = await this.#options.rights.workspaceOf(proxy.id, agentId);
        if (workspaceId === undefined) {
          admitted.delete(agentId);
          this.#refused.inc();
          return;
        }
        admitted.set(agentId, workspaceId);
        // An event that came meanwhile found no tunnel to end; by the time it is looked up again there is one.
        if (changes !== this.#changes) void this.#proxies.get(proxy.id)?.rechecks.doubt({ agentIds: [agentId] });
      },
      // Of what ended before there was this tunnel the proxy was not informed.
      afterTunnel: (agentId) => this.#doubtRights(proxy.id, agentId),
    };
  }

  #add(peer: ProxyPeer): void {
    const { proxy } = peer;
    const state = this.#proxies.get(proxy.id) ?? this.#newState(proxy);
    this.#proxies.set(proxy.id, state);
    state.peers.add(peer);
    state.proxy = proxy;
  }

  #lost(peer: ProxyPeer): void {
    const state = this.#proxies.get(peer.proxy.id);
    if (state?.peers.delete(peer) !== true) return;
    for (const [agentId, workspaceId] of peer.admitted) state.lost.set(agentId, workspaceId);
    this.#forgetIfUnused(state);
  }

  #newState(proxy: WorkspaceProxyRow): ProxyState {
    const { rights } = this.#options;
    const { id } = proxy;
    const state: ProxyState = {
      proxy,
      peers: new Set(),
      lost: new Map(),
      rechecks: new TunnelRechecks({
        admitted: () => [...admittedOf(state).keys()],
        concerned: (agentIds, userIds) => rights.concerned(id, agentIds, userIds),
        holds: async (agentId) => (await rights.workspaceOf(id, agentId)) !== undefined,
        end: (agentId) => this.#endTunnels(state, agentId),
        stays: (agentId) => this.#doubtRights(id, agentId),
        onError: (error) => this.#failed(error),
        pause: async (ms, signal) => {
          const { signal: stopped } = this.#stopped;
          const either = signal === undefined ? stopped : AbortSignal.any([stopped, signal]);
          await setTimeout(ms, undefined, { signal: either }).catch(() => undefined); // aborted: the pause is over
        },
      }),
    };
    return state;
  }

  #forgetIfUnused({ proxy, peers, lost }: ProxyState): void {
    if (peers.size + lost.size === 0) this.#proxies.delete(proxy.id);
  }

  #onAccessEvent(event: AccessEvent): void {
    switch (event.kind) {
      case "key-revoked":
      case "user-gone":
      case "role-changed":
        this.#changes++;
        for (const { rechecks } of this.#proxies.values()) void rechecks.doubt({ userId: event.userId });
        break;
      case "workspace-deleted":
      case "workspace-stopped":
        this.#onWorkspace(event.workspaceId);
        break;
      case "proxy-revoked": // ends the connections, and the tunnels of lost ones
        this.#proxies.get(event.proxyId)?.lost.clear();
        break;
      case "agent-token-rotated":
      case "browser-only":
        break;
    }
  }

  #onWorkspace(workspaceId: string): void {
    this.#changes++;
    for (const state of this.#proxies.values()) {
      const there = [...admittedOf(state)].flatMap(([agentId, where]) => (where === workspaceId ? [agentId] : []));
      if (there.length > 0) void state.rechecks.doubt({ agentIds: there });
    }
  }

  /**
   * Checks everything periodically: events may be missed, shares expire, and grants of a proxy end by not being renewed. A
   * failure changes nothing: while the database is away, tunnels stay.
   */
  async #lookAtAll(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      for (const state of [...this.#proxies.values()]) await this.#lookAt(state);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isLooking = false;
    }
  }

  async #lookAt(state: ProxyState): Promise<void> {
    const { authenticator, control, clock, rights } = this.#options;
    for (const peer of state.peers) this.#forgetUnused(peer);
    if (!(await authenticator.stillHolds(state.proxy))) {
      const { id } = state.proxy;
      control.coordinator.revoke((auth) => auth.holder === proxyHolder(id), TOKEN_ENDED, clock.now());
      for (const peer of state.peers) peer.end(TOKEN_ENDED);
      state.lost.clear();
      this.#forgetIfUnused(state);
      return;
    }
    const over: string[] = [];
    for (const agentId of admittedOf(state).keys())
      if ((await rights.workspaceOf(state.proxy.id, agentId)) === undefined) over.push(agentId);
    for (const agentId of over) this.#endTunnels(state, agentId);
  }

  #endTunnels(state: ProxyState, agentId: string): void {
    const { control, clock } = this.#options;
    const holder = proxyHolder(state.proxy.id);
    state.lost.delete(agentId);
    const had = [...state.peers].filter(({ admitted }) => admitted.delete(agentId));
    // Including tunnels of connections that were lost, and of earlier ones that were replaced.
    control.coordinator.endTunnels((auth, to) => to === agentId && auth.holder === holder, ACCESS_ENDED, clock.now());
    // A connection that was for this agent only ends, so that the proxy notices at once.
    for (const peer of had) if (peer.admitted.size === 0) peer.end(ACCESS_ENDED);
    this.#forgetIfUnused(state);
  }

  #doubtRights(proxyId: string, agentId: string): void {
    const { control, clock } = this.#options;
    control.coordinator.doubtRights(proxyHolder(proxyId), agentId, clock.now());
  }

  #forgetUnused({ id, admitted }: ProxyPeer): void {
    const used = new Set(this.#options.control.coordinator.tunnelsOf(id));
    for (const agentId of admitted.keys()) if (!used.has(agentId)) admitted.delete(agentId);
  }

  #failed(error: unknown): void {
    this.#options.log.error({ err: error }, "checking the tunnels of workspace proxies failed");
  }
}

function admittedOf({ peers, lost }: ProxyState): Map<string, string> {
  return new Map([...lost, ...[...peers].flatMap(({ admitted }) => [...admitted])]);
}
