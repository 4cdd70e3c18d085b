import { randomUUID } from "node:crypto";
import { DatabaseClock, systemClock, type WallClock } from "./base/clock.ts";
import { elsewhere } from "./base/domain-error.ts";
import { type DrainTimes, drainTimes } from "./base/drain-times.ts";
import { pause } from "./base/gradual-end.ts";
import type { Logger } from "./base/log.ts";
import { shortReplicaId } from "./base/replica-id.ts";
import type { ServerConfig } from "./config/parse.ts";
import { requireRelayAddress } from "./control/cluster/membership.ts";
import { requireNearProtocols } from "./control/cluster/protocol.ts";
import { RESTARTING } from "./control/open-socket.ts";
import type { Backend } from "./db/backend.ts";
import { openBackend, storePlaceOf } from "./db/open-backend.ts";
import { foreignKeys, keyFingerprintOf, Store } from "./db/store.ts";
import type { ProgramSources } from "./downloads/catalogue.ts";
import { siteWarnings } from "./health/wildcard.ts";
import { type Bound, bindConfigured, NOT_BOUND } from "./http/bind-configured.ts";
import type { DashboardFiles } from "./http/dashboard/build-output.ts";
import { databaseMetrics } from "./http/database-metrics.ts";
import { Listeners } from "./http/listeners.ts";
import { createMetrics } from "./http/metrics.ts";
import { certificateMetrics } from "./http/process-metrics.ts";
import { StartupListeners } from "./http/startup-listeners.ts";
import { Certificates } from "./http/tls.ts";
import { buildHttpSurface, type HttpSurface } from "./http-surface.ts";
import { buildParts, type Parts, type PartsTuning } from "./parts.ts";
import { stunListenAddress } from "./relay/stun-address.ts";
import { type StunPart, startStun } from "./relay/stun-part.ts";
import { loadServerKeys } from "./state/key-file.ts";
import { refuseMoved } from "./state/moved.ts";
import { acquireStateDir, type StateDir } from "./state/state-dir.ts";

/** Longer than the row of a killed server looks current. */
const SIBLING_WAIT = { everyMs: 500, tries: 50 };
/** Longer than the heartbeat of a killed server looks fresh. */
const FAR_SERVER_WAIT = { everyMs: 500, tries: 16 };
/** For requests to apps; the server's own routes accept less. */
const APP_HEAD_BYTES = 64 * 1024;
const EXPIRED_KEYS_EVERY_MS = 3_600_000;
/** Expired keys stay listed for a while, so that their owner sees what happened to them. */
const KEEP_EXPIRED_KEYS_MS = 7 * 86_400_000;

export interface ServerDeps extends PartsTuning {
  readonly log: Logger;
  readonly clock?: WallClock;
  /** How often the files of the TLS certificates are checked for changes. */
  readonly certificateCheckMs?: number;
  /** Called with the text of each query. */
  readonly onQuery?: (sql: string) => void;
  /** Aborts waiting for the database. */
  readonly signal?: AbortSignal;
  /** Executables for other machines that came with this one. */
  readonly packaged?: ProgramSources;
  /** The files of the built dashboard. */
  readonly dashboard?: DashboardFiles;
}

/** The bound addresses are set once it listens. */
export interface CoderServer extends Bound, AsyncDisposable {
  readonly parts: Parts;
  readonly http: HttpSurface;
  /** Binds every configured address. Throws ServerError. */
  listen(): Promise<void>;
  /** UDP port of the server's own STUN server, if there is one. */
  readonly stunPort: number | undefined;
  /** Reloads the TLS certificates and logs the outcome. */
  reloadCertificates(reason: string): void;
  /**
   * The first part of an orderly stop, if other servers take the clients: balancers notice, then control connections and those of
   * the relay end one by one. Does nothing if there is no other server. Call `close` afterwards.
   */
  drain(): Promise<void>;
  /** How long a stop that begins now may take. */
  drainTimes(): DrainTimes;
  /** Ends sockets and answers in progress, then closes the store and releases the state directory. Idempotent. */
  close(): Promise<void>;
}

/**
 * Creates the server: locks the state directory, opens the store, builds the parts. Owns all of them. Throws ServerError, after
 * releasing what it had acquired.
 */
export async function createServer(config: ServerConfig, deps: ServerDeps): Promise<CoderServer> {
  const stateDir = acquireStateDir(config.stateDir, config.postgres === undefined ? "exclusive" : "shared");
  let backend: Backend | undefined;
  let startupListeners: StartupListeners | undefined;
  let cluster: Parts["cluster"];
  try {
    if (config.postgres === undefined) refuseMoved(stateDir.path);
    const { log } = deps;
    if (stateDir.exposure !== undefined)
      log.warn({ directory: stateDir.path }, `the state directory is open: ${stateDir.exposure}`);
    const databaseClock = config.postgres === undefined ? undefined : new DatabaseClock(systemClock);
    const clock = deps.clock ?? databaseClock ?? systemClock;
    const certificates = config.tls === undefined ? undefined : new Certificates(config.tls, log);
    startupListeners = new StartupListeners({ ...config, certificates, log });
    const metrics = createMetrics();
    const replicaId = randomUUID();
    const databaseObserver = config.postgres === undefined ? undefined : databaseMetrics(metrics.registry);
    backend = await openBackend(storePlaceOf(config), {
      applicationName: `coder ${shortReplicaId(replicaId)}`,
      log,
      onWaiting: (what) => startupListeners?.listen(what),
      observer: databaseObserver,
      onQuery: deps.onQuery,
      signal: deps.signal,
    });
    // Checked before the schema is touched: a server with other keys must write nothing.
    const stored = await keyFingerprintOf(backend);
    const { keys, isNew } = loadServerKeys(config.keysFile ?? stateDir.keysPath, stored !== undefined);
    if (stored !== undefined && stored !== keys.fingerprint) throw foreignKeys();
    if (config.postgres !== undefined)
      await requireNearProtocols(backend.db, { ...FAR_SERVER_WAIT, signal: deps.signal });
    const store = await Store.on(backend, clock.now(), { onTransaction: metrics.recordTransaction });
    // A lost database file leaves its key file behind, so existing keys forbid a new deployment there. For PostgreSQL, the keys
    // exist before the database does.
    const mayBegin = isNew || config.postgres !== undefined;
    const deployment = await store.deployment({ fingerprint: keys.fingerprint, mayBegin }, clock.now());
    if (certificates !== undefined) certificateMetrics(metrics.registry, certificates);
    const parts = await buildParts(
      { config, replicaId, clock, databaseClock, databaseObserver, log, keys, store, deployment, metrics },
      deps,
    );
    await parts.cluster?.open();
    ({ cluster } = parts);
    if (cluster !== undefined && parts.relay !== undefined && config.derp.relayUrl === undefined) {
      await requireRelayAddress(cluster, { ...SIBLING_WAIT, signal: deps.signal });
    }
    return new Server({
      parts,
      http: buildHttpSurface(parts, deps),
      certificates,
      certificateCheckMs: deps.certificateCheckMs,
      stateDir,
      startupListeners,
    });
  } catch (error) {
    await startupListeners?.close();
    await cluster?.close();
    await backend?.close();
    stateDir.release();
    throw error;
  }
}

interface ServerOptions {
  readonly parts: Parts;
  readonly http: HttpSurface;
  readonly certificates: Certificates | undefined;
  readonly certificateCheckMs: number | undefined;
  readonly stateDir: StateDir;
  readonly startupListeners: StartupListeners;
}

/** The life cycle of the server: the order in which ports are bound and in which parts end. */
class Server implements CoderServer {
  readonly parts: Parts;
  readonly http: HttpSurface;
  readonly #options: ServerOptions;
  readonly #listeners: Listeners;
  #stun: StunPart | undefined;
  #stopWatchingCertificates: () => void = () => undefined;
  #bound: Bound = NOT_BOUND;
  #cleanup: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.parts = options.parts;
    this.http = options.http;
    const { streams, log } = options.parts;
    this.#listeners = new Listeners({ door: options.http.door, limits: listenerLimits(options.parts), streams, log });
  }

  get address(): Bound["address"] {
    return this.#bound.address;
  }
  get tlsAddress(): Bound["tlsAddress"] {
    return this.#bound.tlsAddress;
  }
  get metricsAddress(): Bound["metricsAddress"] {
    return this.#bound.metricsAddress;
  }
  get stunPort(): number | undefined {
    return this.#stun?.port;
  }

  async listen(): Promise<void> {
    const { certificates, certificateCheckMs } = this.#options;
    const { config, addresses, metrics, log } = this.parts;
    // Before http, because the relay map contains the port, and the first client may come as soon as http is bound.
    await this.#listenStun();
    await this.#options.startupListeners.close();
    this.#bound = await bindConfigured(this.#listeners, config, {
      addresses,
      certificates,
      metrics: metrics.registry,
      whatCrosses: "tokens and passwords",
      log,
    });
    await this.#warnOfSharedSite();
    this.#stopWatchingCertificates = certificates?.watch(certificateCheckMs) ?? (() => undefined);
    this.parts.offlineAudit.start();
    this.http.health.start();
    this.parts.proxies.checks.start();
    this.#cleanup = setInterval(() => this.#removeExpiredKeys(), EXPIRED_KEYS_EVERY_MS);
    this.#cleanup.unref();
  }

  reloadCertificates(reason: string): void {
    const { certificates } = this.#options;
    if (certificates === undefined) this.parts.log.info({ reason }, "there are no TLS certificates to reload");
    else certificates.reload(reason);
  }

  drainTimes(): DrainTimes {
    const { config, cluster } = this.parts;
    return drainTimes(config.shutdownDrainMs, (cluster?.replicas.length ?? 0) > 1, config.postgres !== undefined);
  }

  async drain(): Promise<void> {
    const { cluster, control, proxies, relay, standing, log } = this.parts;
    const { serveMs, endMs } = this.drainTimes();
    if (endMs === 0) return;
    const beganAt = performance.now();
    standing.draining = true;
    cluster?.drain();
    log.info({ serve_ms: serveMs, end_ms: endMs }, "drain begun: other servers take the clients");
    await pause(serveMs);
    control.refuse("stopping", () => elsewhere("it is being stopped"));
    proxies.relayKeys.endAll("server is stopping");
    const released = control.release({ reason: RESTARTING, withinMs: endMs });
    const [connections] = await Promise.all([released, relay?.drain(endMs)]);
    log.info({ connections, ms: Math.round(performance.now() - beganAt) }, "drain ended");
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The health report has it too, but those who set up the server look at the log. */
  async #warnOfSharedSite(): Promise<void> {
    const { config, addresses, log } = this.parts;
    if (config.wildcardAccessUrl === undefined) return;
    for (const { code, message } of await siteWarnings(config.wildcardAccessUrl, addresses.browserUrl()))
      log.warn(`${code}: ${message}`);
  }

  async #listenStun(): Promise<void> {
    const { config, addresses, metrics, log } = this.parts;
    if (config.derp.stunServer === undefined) return;
    this.#stun = await startStun(stunListenAddress(config, config.derp.stunServer), log, metrics.registry);
    if (this.#stun !== undefined) addresses.stunBound(this.#stun.port);
  }

  #removeExpiredKeys(): void {
    const { store, clock, log } = this.parts;
    store.apiKeys.removeExpiredBefore(clock.now() - KEEP_EXPIRED_KEYS_MS).catch((error: unknown) => {
      log.error({ err: error }, "removing expired keys failed");
    });
  }

  async #close(): Promise<void> {
    const { keyExpiry, offlineAudit, webApps, tunnels, appTunnels, control, agentState, relay, store } = this.parts;
    const { cluster, mesh, probeKeys, proxies } = this.parts;
    this.parts.standing.draining = true;
    cluster?.drain();
    this.http.health.close();
    clearInterval(this.#cleanup);
    await keyExpiry.close();
    await offlineAudit.close();
    this.#stopWatchingCertificates();
    this.#listeners.startClosing();
    webApps.close();
    this.parts.proxyTunnels.close();
    this.parts.proxyApps.close();
    await proxies.checks.close();
    probeKeys.close();
    proxies.relayKeys.close();
    await proxies.directory.close();
    await tunnels.close();
    await appTunnels.close();
    this.parts.networkRecorder.close();
    await control.close();
    agentState.close();
    await mesh?.close();
    await relay?.close();
    await cluster?.close();
    await this.#stun?.close();
    await this.#listeners.closed();
    await store.close();
    await this.#options.startupListeners.close();
    this.#options.stateDir.release();
  }
}

/** The limits that the listener enforces on every request; the front door adds those for the server's own routes only. */
function listenerLimits({ limits }: Parts): Parts["limits"] {
  return { ...limits, headerBytes: APP_HEAD_BYTES, requestTimeoutMs: 0 };
}
