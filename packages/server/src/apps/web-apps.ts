/** Web apps of workspaces: joins the parts, and owns the state that outlives a request. */
import type { IncomingMessage } from "node:http";
import type { ShareLevel } from "coder-protocol/rest/apps";
import type { AccessEvents } from "../auth/access-events.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { OpenStreams } from "../base/open-streams.ts";
import { Places } from "../base/places.ts";
import type { Wildcard } from "../base/wildcard.ts";
import type { Store } from "../db/store.ts";
import type { Changes } from "../workspaces/changes.ts";
import { AppHost } from "./app-host.ts";
import { APP_REQUESTS, APP_WEB_SOCKETS } from "./app-limits.ts";
import { type AppHandlers, AppRouting } from "./app-routing.ts";
import { AppTraffic } from "./app-traffic.ts";
import { AppChains } from "./chains.ts";
import { OpenExchanges } from "./open-exchanges.ts";
import { PathHost, pathAppsDisabled } from "./path-host.ts";
import type { PortShareService } from "./port-shares.ts";
import { type DialApp, ProgramPools } from "./program-pool.ts";
import { RecentResolver } from "./recent-resolver.ts";
import type { AppResolver } from "./resolver.ts";
import { SealedTickets } from "./sealed-tickets.ts";
import { SignIn } from "./sign-in.ts";
import { StoreGate } from "./store-gate.ts";
import { type PathAppSettings, StorePathGate } from "./store-path-gate.ts";
import { Visitors } from "./visitors.ts";

/** The recorded last use of a workspace may be this much out of date. */
const RECORD_USE_EVERY_MS = 60_000;
const MAX_RECORDED = 10_000;

export interface WebAppsOptions {
  /** Undefined if apps have no hosts of their own. */
  readonly wildcard: Wildcard | undefined;
  /** Shared by all servers of the deployment. */
  readonly signingKey: Uint8Array;
  readonly pathApps: PathAppSettings;
  readonly authenticator: Authenticator;
  readonly accessUrl: () => URL;
  readonly maxLevel: ShareLevel;
  readonly dial: DialApp;
  /** The ports on which programs in an agent's workspace listen; requested only on behalf of the workspace's owner. */
  readonly listeningPorts: (agentId: string) => Promise<readonly number[]>;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly streams: OpenStreams;
  readonly store: Store;
  readonly portShares: Pick<PortShareService, "find">;
  readonly events: AccessEvents;
  readonly changes: Changes;
  readonly clock: WallClock;
  readonly log: Logger;
}

export class WebApps {
  /** Undefined without a wildcard access URL. */
  readonly signIn: SignIn | undefined;
  readonly routing: AppRouting;
  readonly resolver: AppResolver;
  readonly visitors: Visitors;
  readonly #options: WebAppsOptions;
  readonly #exchanges: OpenExchanges;
  readonly #pools: ProgramPools;
  readonly #usedAt = new Map<string, number>();
  readonly #stop: readonly (() => void)[];

  constructor(options: WebAppsOptions) {
    const { accessUrl, changes, clock, dial, events, log, maxLevel, portShares, store, streams, wildcard } = options;
    this.#options = options;
    const now = (): number => performance.now();
    const resolver = new RecentResolver(store, portShares, clock, now);
    const visitors = new Visitors(store, clock, now);
    this.resolver = resolver;
    this.visitors = visitors;
    this.#pools = new ProgramPools(dial);
    this.#exchanges = new OpenExchanges({
      now: () => clock.now(),
      streams,
      onError: (error) => log.error({ err: error }, "checking the access of an app's visitor failed"),
    });
    const traffic = new AppTraffic({
      ...options,
      exchanges: this.#exchanges,
      pools: this.#pools,
      requests: new Places("requests to apps", APP_REQUESTS),
      webSockets: new Places("WebSockets to apps", APP_WEB_SOCKETS),
    });
    const onUse = (workspaceId: string): void => this.recordUse(workspaceId);
    const shared = { accessUrl, maxLevel, resolver, visitors, traffic, onUse, clock };
    const { authenticator, pathApps } = options;
    const paths = new PathHost({
      refusal: pathApps.disabled ? pathAppsDisabled("deployment") : undefined,
      accessUrl,
      gate: new StorePathGate({ ...shared, settings: pathApps, authenticator }),
      traffic,
    });
    let hosts: AppHandlers["hosts"];
    if (wildcard !== undefined) {
      const [tickets, chains] = [new SealedTickets(options.signingKey), new AppChains(options.signingKey)];
      this.signIn = new SignIn({ wildcard, accessUrl, tickets, chains, visitors, resolver, clock, maxLevel });
      const gate = new StoreGate({ ...shared, signIn: this.signIn });
      const handler = new AppHost({ wildcard, accessUrl, deploymentUrl: accessUrl, gate, traffic });
      hosts = { wildcard, handler };
    }
    this.routing = new AppRouting({ hosts, paths });
    this.#stop = [
      events.subscribe((event) => {
        visitors.forget();
        resolver.forget();
        this.#exchanges.onAccessEvent(event);
      }),
      changes.subscribeAll((change) => {
        if (change.kind !== "workspace" && change.kind !== "user") return;
        resolver.forget();
        // Host names, paths and headers contain names of users.
        if (change.kind === "user") visitors.forget();
        else this.#exchanges.onWorkspaceChange(change.workspaceId);
      }),
    ];
  }

  close(): void {
    for (const stop of this.#stop) stop();
    this.#exchanges.close();
    this.#pools.close();
  }

  /** Records that a signed-in user used an app of the workspace. */
  recordUse(workspaceId: string): void {
    const { clock, log, store } = this.#options;
    const now = clock.now();
    if (now - (this.#usedAt.get(workspaceId) ?? 0) < RECORD_USE_EVERY_MS) return;
    if (this.#usedAt.size >= MAX_RECORDED) this.#usedAt.clear();
    this.#usedAt.set(workspaceId, now);
    store.workspaces
      .touch([workspaceId], now)
      .catch((error: unknown) => log.error({ err: error }, "the use of a workspace was not recorded"));
  }
}
