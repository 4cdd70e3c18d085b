import { existsSync } from "node:fs";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import { AccessEvents } from "./auth/access-events.ts";
import { Audit } from "./auth/audit.ts";
import { Authenticator } from "./auth/authenticator.ts";
import { Hosts } from "./auth/hosts.ts";
import { KeyExpiry } from "./auth/key-expiry.ts";
import { DEFAULT_PASSWORD_COST, type PasswordCost, Passwords } from "./auth/passwords.ts";
import { Sessions } from "./auth/sessions.ts";
import { systemClock, type WallClock } from "./base/clock.ts";
import type { Logger } from "./base/log.ts";
import { dialerToOurselves } from "./base/outgoing.ts";
import { Places } from "./base/places.ts";
import { TextSockets } from "./base/text-sockets.ts";
import type { ListenAddress, ServerConfig } from "./config/parse.ts";
import { Store } from "./db/store.ts";
import { Catalogue, type ProgramSources } from "./downloads/catalogue.ts";
import { clientAddressReader } from "./http/client-address.ts";
import {
  type ControlPlane,
  DEFAULT_LIMITS,
  type EmbeddedRelay,
  type HttpLimits,
  type RequestRoute,
  type RouteContext,
  type ServerContext,
  type StunPart,
  type UpgradeRoute,
} from "./http/context.ts";
import { limitConnections } from "./http/descriptor-limit.ts";
import { FrontDoor } from "./http/front-door.ts";
import { createListener, isLoopback, listen } from "./http/listeners.ts";
import { createMetrics, createMetricsServer } from "./http/metrics.ts";
import { buildRouter } from "./http/router.ts";
import { downloadRoute } from "./http/routes/downloads.ts";
import { restUpgradeRoutes } from "./http/routes/upgrades.ts";
import { EventStreams } from "./http/streams/event-streams.ts";
import { BrowserTerminals } from "./http/terminals/browser-terminals.ts";
import { Certificates } from "./http/tls.ts";
import { ProbeKeys } from "./relay/probe-keys.ts";
import { stunListenAddress } from "./relay/stun-address.ts";
import { loadServerKeys } from "./state/key-file.ts";
import { acquireStateDir } from "./state/state-dir.ts";
import { AgentHttp } from "./tunnels/agent-http.ts";
import { AgentTunnels } from "./tunnels/agent-tunnels.ts";
import { AgentState } from "./workspaces/agent-state.ts";
import { Changes } from "./workspaces/changes.ts";
import { WorkspaceService } from "./workspaces/workspace-service.ts";

/** Longest wait for answers under way when the server closes. */
const CLOSE_GRACE_MS = 5_000;
const EXPIRED_KEYS_EVERY_MS = 3_600_000;
/** Expired keys stay listed for a while, so that their owner sees what became of them. */
const KEEP_EXPIRED_KEYS_MS = 7 * 86_400_000;

export interface ServerDeps {
  readonly log: Logger;
  readonly clock?: WallClock;
  readonly limits?: Partial<HttpLimits>;
  readonly passwordCost?: PasswordCost;
  /** How often the files of the TLS certificates are looked at. */
  readonly certificateCheckMs?: number;
  /** How long a connected agent may leave its lifecycle unsaid. */
  readonly unstatedLifecycleMs?: number;
  /** Builds the coordinator and the agent rpc. Without one, agents cannot connect. */
  readonly controlPlane?: (
    context: ServerContext,
    relay: EmbeddedRelay | undefined,
  ) => ControlPlane | Promise<ControlPlane>;
  /** Builds the embedded relay; asked only when the configuration enables it. */
  readonly relay?: (context: ServerContext) => EmbeddedRelay | Promise<EmbeddedRelay>;
  /** Starts our own STUN server; asked only when the configuration wants one. Undefined: it could not be had. */
  readonly stun?: (context: ServerContext, address: ListenAddress) => Promise<StunPart | undefined>;
  /** Executables for other machines that came with this one. */
  readonly packaged?: ProgramSources;
  /** Further parts, asked before the built-in ones. */
  readonly upgradeRoutes?: readonly UpgradeRoute[];
  readonly requestRoutes?: readonly RequestRoute[];
}

export interface CoderServer extends AsyncDisposable {
  readonly context: RouteContext;
  /** Binds every configured address. Throws ServerError. */
  listen(): Promise<void>;
  /** Where plain http is bound, once listening. */
  readonly address: AddressInfo | undefined;
  readonly tlsAddress: AddressInfo | undefined;
  readonly metricsAddress: AddressInfo | undefined;
  /** UDP port of our own STUN server, when there is one. */
  readonly stunPort: number | undefined;
  /** Reads the TLS certificates again; the log says what came of it. */
  reloadCertificates(reason: string): void;
  /** Ends sockets and answers under way, then the store; gives the state directory back. Idempotent. */
  close(): Promise<void>;
}

/**
 * Puts the server together: takes the state directory, opens the store, builds the parts. Owns all of them.
 * Throws ServerError, after giving back what it had taken.
 */
export async function createServer(config: ServerConfig, deps: ServerDeps): Promise<CoderServer> {
  const stateDir = acquireStateDir(config.stateDir);
  let store: Store | undefined;
  try {
    const clock = deps.clock ?? systemClock;
    const isNew = !existsSync(stateDir.keysPath);
    const keys = loadServerKeys(stateDir);
    store = await Store.open(stateDir.databasePath, clock.now());
    const deployment = await store.deployment({ fingerprint: keys.fingerprint, isNew }, clock.now());
    return await App.build(config, deps, { clock, keys, store, deployment, release: () => stateDir.release() });
  } catch (error) {
    await store?.close();
    stateDir.release();
    throw error;
  }
}

function programSources({ binariesDir }: ServerConfig, packaged: ProgramSources = { directories: [] }): ProgramSources {
  return binariesDir === undefined ? packaged : { ...packaged, directories: [binariesDir] };
}

type Foundations = Pick<ServerContext, "clock" | "keys" | "store" | "deployment"> & { release(): void };

class App implements CoderServer {
  readonly context: RouteContext;
  readonly #config: ServerConfig;
  readonly #startStun: ServerDeps["stun"];
  readonly #foundations: Foundations;
  readonly #sockets: TextSockets;
  readonly #terminals: BrowserTerminals;
  readonly #keyExpiry: KeyExpiry;
  readonly #tunnels: AgentTunnels;
  readonly #recordRequest: (method: string, status: number, seconds: number) => void;
  readonly #rest: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  readonly #servers: Server[] = [];
  readonly #certificates: Certificates | undefined;
  readonly #certificateCheckMs: number | undefined;
  #stopWatchingCertificates: () => void = () => undefined;
  #controlPlane: ControlPlane | undefined;
  #relay: EmbeddedRelay | undefined;
  #stun: StunPart | undefined;
  #frontDoor: FrontDoor | undefined;
  #address: AddressInfo | undefined;
  #tlsAddress: AddressInfo | undefined;
  #metricsAddress: AddressInfo | undefined;
  #cleanup: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  private constructor(config: ServerConfig, deps: ServerDeps, foundations: Foundations) {
    this.#config = config;
    this.#startStun = deps.stun;
    this.#certificates = config.tls === undefined ? undefined : new Certificates(config.tls, deps.log);
    this.#certificateCheckMs = deps.certificateCheckMs;
    this.#foundations = foundations;
    const limits = { ...DEFAULT_LIMITS, ...deps.limits };
    this.#sockets = new TextSockets({
      places: new Places("WebSockets", limits.webSockets),
      heartbeatMs: limits.heartbeatMs,
    });
    const metrics = createMetrics({
      openWebSockets: () => this.#sockets.openCount,
      certificates: () => this.#certificates?.expiries() ?? [],
    });
    this.#recordRequest = metrics.recordRequest;
    const { clock, keys, store, deployment } = foundations;
    const accessUrl = (): URL => config.accessUrl ?? this.#listeningUrl();
    const accessEvents = new AccessEvents();
    const changes = new Changes();
    const audit = new Audit(deps.log, clock, metrics.recordAudit);
    store.onTransaction = metrics.recordTransaction;
    const hosts = new Hosts(accessUrl, config.allowedHosts);
    const passwords = new Passwords(deps.passwordCost ?? DEFAULT_PASSWORD_COST);
    this.#tunnels = new AgentTunnels({
      ownUrl: () => this.#ownUrl(),
      dialer: () => dialerToOurselves(config.tls?.certFiles ?? []),
      onError: (error) => deps.log.warn({ err: error }, "closing a tunnel failed"),
    });
    this.context = {
      config,
      accessUrl,
      store,
      keys,
      deployment,
      passwords,
      sessions: new Sessions({ store, passwords, events: accessEvents, audit, config, clock }),
      audit,
      authenticator: new Authenticator({ store, keys, hosts, clock }),
      accessEvents,
      changes,
      agentState: new AgentState({
        store,
        changes,
        clock,
        log: deps.log,
        unstatedLifecycleMs: deps.unstatedLifecycleMs,
      }),
      workspaces: new WorkspaceService({ store, keys, deployment, events: accessEvents, changes, clock }),
      hosts,
      clock,
      log: deps.log,
      metrics: metrics.registry,
      probeKeys: new ProbeKeys(),
      stunPort: () => this.#stun?.port,
      limits,
      clientAddress: clientAddressReader(config),
      controlPlane: () => this.#controlPlane,
      relay: () => this.#relay,
      agentHttp: new AgentHttp(this.#tunnels, deps.log),
      requestsOfUsers: new Places("requests", limits.requests),
      eventStreams: new EventStreams(new Places("event streams", limits.eventStreams)),
    };
    this.#keyExpiry = new KeyExpiry({ store, events: accessEvents, clock, log: deps.log });
    this.#terminals = new BrowserTerminals(this.context, this.#tunnels);
    const router = buildRouter(this.context);
    this.#rest = getRequestListener((request, env) => router.fetch(request, env), { overrideGlobalObjects: false });
  }

  static async build(config: ServerConfig, deps: ServerDeps, foundations: Foundations): Promise<App> {
    const app = new App(config, deps, foundations);
    try {
      if (config.derp.serverEnabled) app.#relay = await deps.relay?.(app.context);
      app.#controlPlane = await deps.controlPlane?.(app.context, app.#relay);
    } catch (error) {
      await app.#relay?.close();
      throw error;
    }
    app.#frontDoor = new FrontDoor(app.context, {
      upgradeRoutes: [
        ...(deps.upgradeRoutes ?? []),
        ...(app.#relay?.upgradeRoutes ?? []),
        ...(app.#controlPlane?.upgradeRoutes ?? []),
        app.#terminals.route,
        ...restUpgradeRoutes(app.context, app.#sockets),
      ],
      requestRoutes: [
        ...(deps.requestRoutes ?? []),
        ...(app.#relay?.requestRoutes ?? []),
        downloadRoute(app.context, new Catalogue(programSources(config, deps.packaged))),
      ],
      rest: app.#rest,
      recordRequest: app.#recordRequest,
    });
    return app;
  }

  get address(): AddressInfo | undefined {
    return this.#address;
  }
  get tlsAddress(): AddressInfo | undefined {
    return this.#tlsAddress;
  }
  get metricsAddress(): AddressInfo | undefined {
    return this.#metricsAddress;
  }
  get stunPort(): number | undefined {
    return this.#stun?.port;
  }

  async listen(): Promise<void> {
    const { http, tls, prometheus, derp } = this.#config;
    const { limits, log } = this.context;
    // First: the relay map names its port, and the first client may come as soon as http is bound.
    if (derp.stunServer !== undefined)
      this.#stun = await this.#startStun?.(this.context, stunListenAddress(this.#config, derp.stunServer));
    const door = this.#frontDoor;
    const handlers = {
      request: (request: IncomingMessage, response: ServerResponse) => door?.request(request, response),
      upgrades: (request: IncomingMessage) => door?.upgrades(request) ?? false,
      upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => door?.upgrade(request, socket, head),
    };
    if (tls !== undefined) {
      this.#tlsAddress = await this.#bind(
        createListener(this.#certificates, limits, handlers),
        tls.address,
        "tls-address",
      );
    }
    this.#stopWatchingCertificates = this.#certificates?.watch(this.#certificateCheckMs) ?? (() => undefined);
    if (http !== undefined) {
      this.#address = await this.#bind(createListener(undefined, limits, handlers), http, "http-address");
      if (!isLoopback(this.#address.address)) {
        log.warn("plain http is reachable from other machines: tokens and passwords cross the network unencrypted");
      }
    }
    if (prometheus !== undefined) {
      this.#metricsAddress = await this.#bind(
        createMetricsServer(this.context.metrics),
        prometheus,
        "prometheus-address",
      );
      if (!isLoopback(this.#metricsAddress.address))
        log.warn("metrics are reachable from other machines without a login");
    }
    this.#cleanup = setInterval(() => {
      const { store, clock } = this.context;
      store.apiKeys.removeExpiredBefore(clock.now() - KEEP_EXPIRED_KEYS_MS).catch((error: unknown) => {
        log.error({ err: error }, "removing expired keys failed");
      });
    }, EXPIRED_KEYS_EVERY_MS);
    this.#cleanup.unref();
  }

  reloadCertificates(reason: string): void {
    if (this.#certificates === undefined) {
      this.context.log.info({ reason }, "there are no TLS certificates to reload");
    } else {
      this.#certificates.reload(reason);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #bind(server: Server, address: { host: string; port: number }, flag: string): Promise<AddressInfo> {
    limitConnections(server, this.context.log);
    const bound = await listen(server, address, flag);
    this.#servers.push(server);
    return bound;
  }

  async #close(): Promise<void> {
    clearInterval(this.#cleanup);
    await this.#keyExpiry.close();
    this.#stopWatchingCertificates();
    const stopped = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    this.#frontDoor?.startClosing();
    this.context.eventStreams.closeAll();
    this.#sockets.closeAll();
    const grace = setTimeout(() => {
      this.#sockets.terminateAll();
      this.#frontDoor?.destroyUpgraded();
      for (const server of this.#servers) server.closeAllConnections();
    }, CLOSE_GRACE_MS);
    this.#terminals.close();
    await this.#tunnels.close();
    await this.#controlPlane?.close();
    this.context.agentState.close();
    await this.#relay?.close();
    await this.#stun?.close();
    for (const server of this.#servers) server.closeIdleConnections();
    await Promise.all(stopped);
    clearTimeout(grace);
    this.#frontDoor?.destroyUpgraded();
    await this.#foundations.store.close();
    this.#foundations.release();
  }

  /** Where we reach ourselves: plain http while it is bound, as no certificate names a loopback address. */
  #ownUrl(): URL {
    const elsewhere = this.#address === undefined || this.#config.redirectToAccessUrl;
    return elsewhere ? this.context.accessUrl() : this.#listeningUrl(false);
  }

  #listeningUrl(secure = this.#config.tls !== undefined): URL {
    const { http, tls } = this.#config;
    const bound = secure ? this.#tlsAddress : this.#address;
    const wanted = secure ? tls?.address : http;
    const host = bound?.address ?? wanted?.host ?? "127.0.0.1";
    // An address for "everywhere" is no address to dial.
    const name = host === "" || host === "::" || host === "0.0.0.0" ? "127.0.0.1" : host;
    const port = bound?.port ?? wanted?.port ?? 0;
    return new URL(`${secure ? "https" : "http"}://${name.includes(":") ? `[${name}]` : name}:${port}`);
  }
}
