/**
 * Control connections of workspace proxies. A proxy may have a tunnel to an agent only while it serves an app or a terminal of it
 * to a visitor whose right holds; what takes the right away ends the tunnel.
 */
import { randomUUID } from "node:crypto";
import { PROXY_COORDINATE_PATH } from "coder-protocol/rest/proxy-apps";
import { MISSING_TAILNET_VERSION } from "coder-protocol/version";
import { Counter, type Registry } from "prom-client";
import type { AccessEvent, AccessEvents } from "../auth/access-events.ts";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { type PlaceLimits, Places } from "../base/places.ts";
import type { UpgradeRoute } from "../base/routes.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { ProxyAuthenticator } from "../workspace-proxies/proxy-authenticator.ts";
import type { Changes } from "../workspaces/changes.ts";
import type { ControlPlane } from "./control-plane.ts";
import { clientAuth, type PeerAuth } from "./peer-auth.ts";
import { requireVersion } from "./require-version.ts";
import type { ResumeHolder } from "./resume-token.ts";

const ACCESS_ENDED = "access ended";
const TOKEN_ENDED = "the token ended";

/** What a proxy serves at present. */
export interface ProxyRights {
  /** The workspace of the agent; undefined: the proxy serves nothing of it, or nothing that holds. */
  workspaceOf(proxyId: string, agentId: string): Promise<string | undefined>;
  /** Of these agents, those whose tunnels a change of the user's rights, or the end of a login, may have ended. */
  concerned(proxyId: string, agentIds: readonly string[], userId: string): Promise<string[]>;
}

export interface ProxyTunnelsOptions {
  readonly control: Pick<ControlPlane, "coordinator" | "resumedPeer" | "serveClient" | "throwRefusal">;
  readonly authenticator: ProxyAuthenticator;
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
  /** By agent, the workspace: where tunnels may lead, as it was last looked up. */
  readonly admitted: Map<string, string>;
  /** Ends the connection. */
  end(reason: string): void;
}

/** Of the agents that a proxy has tunnels to, each with its workspace, those to look at. */
type Select = (
  proxyId: string,
  admitted: ReadonlyMap<string, string>,
) => readonly string[] | Promise<readonly string[]>;

export class ProxyTunnels {
  readonly #options: ProxyTunnelsOptions;
  readonly #places: Places;
  readonly #peers = new Set<ProxyPeer>();
  readonly #refused: Counter;
  readonly #stop: readonly (() => void)[];
  /** Counts what may have ended a right. */
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
    this.#stop = [
      () => clearInterval(timer),
      accessEvents.subscribe((event) => this.#onAccessEvent(event)),
      changes.subscribe("workspaces", (change) => {
        if (change.kind === "workspace") this.#onChange(inWorkspace(change.workspaceId));
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
        requireVersion(url, MISSING_TAILNET_VERSION);
        const holder = `proxy ${proxy.id}`;
        const resume: ResumeHolder = { kind: "client", userId: holder, keyId: String(proxy.token_generation) };
        const id = this.#options.control.resumedPeer(url, resume) ?? randomUUID();
        const admitted = new Map<string, string>();
        const auth = this.#authOf(proxy, holder, admitted);
        const open = this.#options.control.serveClient(request, socket, head, {
          id,
          auth,
          resume,
          places: this.#places,
        });
        if (open === undefined) return;
        const peer: ProxyPeer = { id, proxy, auth, admitted, end: (reason) => open.end(reason) };
        this.#peers.add(peer);
        void open.closed.then(() => this.#peers.delete(peer));
        // A new token between the check and now had no listener.
        if (!(await this.#options.authenticator.stillHolds(proxy))) open.end(TOKEN_ENDED);
      },
    };
  }

  close(): void {
    for (const stop of this.#stop) stop();
  }

  #authOf(proxy: WorkspaceProxyRow, holder: string, admitted: Map<string, string>): PeerAuth {
    return {
      ...clientAuth((agentId) => admitted.has(agentId), {
        holder,
        endedBy: (event) => event.kind === "proxy-revoked" && event.proxyId === proxy.id,
      }),
      beforeTunnel: async (agentId) => {
        const changes = this.#changes;
        const workspaceId = await this.#options.rights.workspaceOf(proxy.id, agentId);
        if (workspaceId === undefined) {
          admitted.delete(agentId);
          this.#refused.inc();
          return;
        }
        admitted.set(agentId, workspaceId);
        // What changed meanwhile had no tunnel to end; by the time that this has been looked up again there is one.
        if (changes !== this.#changes) this.#onChange((proxyId) => (proxyId === proxy.id ? [agentId] : []));
      },
    };
  }

  #onAccessEvent(event: AccessEvent): void {
    switch (event.kind) {
      case "key-revoked":
      case "user-gone":
      case "role-changed":
        this.#onChange((proxyId, admitted) =>
          this.#options.rights.concerned(proxyId, [...admitted.keys()], event.userId),
        );
        break;
      case "workspace-deleted":
      case "workspace-stopped":
        this.#onChange(inWorkspace(event.workspaceId));
        break;
      case "agent-token-rotated":
      case "browser-only":
      case "proxy-revoked": // ends the whole connection
        break;
    }
  }

  #onChange(select: Select): void {
    this.#changes++;
    for (const [proxyId, peers] of this.#byProxy())
      this.#look(proxyId, select).catch((error: unknown) => {
        this.#failed(error);
        for (const peer of peers) peer.end(ACCESS_ENDED); // a right that cannot be looked up is none
      });
  }

  /**
   * Events may be missed, shares end with time, and what a proxy serves does by not being renewed. A failure decides nothing: while
   * the database is away, tunnels stay.
   */
  async #lookAtAll(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      for (const [proxyId, peers] of this.#byProxy()) {
        for (const peer of peers) this.#forgetUnused(peer);
        const [first] = peers;
        if (first !== undefined && !(await this.#options.authenticator.stillHolds(first.proxy)))
          for (const peer of peers) peer.end(TOKEN_ENDED);
        else await this.#look(proxyId, (_, admitted) => [...admitted.keys()]);
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isLooking = false;
    }
  }

  async #look(proxyId: string, select: Select): Promise<void> {
    const admitted = new Map((this.#byProxy().get(proxyId) ?? []).flatMap((peer) => [...peer.admitted]));
    for (const agentId of await select(proxyId, admitted))
      if ((await this.#options.rights.workspaceOf(proxyId, agentId)) === undefined) this.#endTunnels(proxyId, agentId);
  }

  #endTunnels(proxyId: string, agentId: string): void {
    const { control, clock } = this.#options;
    const lost = (this.#byProxy().get(proxyId) ?? []).filter(({ admitted }) => admitted.delete(agentId));
    const auths = new Set(lost.map(({ auth }) => auth));
    control.coordinator.endTunnels((auth, to) => to === agentId && auths.has(auth), ACCESS_ENDED, clock.now());
    // A connection that was for this agent alone ends, by which the proxy notices at once.
    for (const peer of lost) if (peer.admitted.size === 0) peer.end(ACCESS_ENDED);
  }

  #forgetUnused({ id, admitted }: ProxyPeer): void {
    const used = new Set(this.#options.control.coordinator.tunnelsOf(id));
    for (const agentId of admitted.keys()) if (!used.has(agentId)) admitted.delete(agentId);
  }

  #byProxy(): Map<string, ProxyPeer[]> {
    return Map.groupBy(this.#peers, ({ proxy }) => proxy.id);
  }

  #failed(error: unknown): void {
    this.#options.log.error({ err: error }, "looking at the tunnels of workspace proxies failed");
  }
}

function inWorkspace(workspaceId: string): Select {
  return (_, admitted) => [...admitted].flatMap(([agentId, where]) => (where === workspaceId ? [agentId] : []));
}
