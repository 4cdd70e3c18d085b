/**
 * A workspace proxy: a relay near its users, and browser terminals and apps, for a deployment elsewhere, the primary. It has no
 * store and keeps all state in memory: the primary decides which clients it admits, which siblings it has, and who may open what.
 * It continues to serve while the primary is away.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Dialer } from "coder-client/dial/dialer";
import type {
  ProxyHealthReport,
  RegisterProxyRequest,
  RegisterProxyResponse,
} from "coder-protocol/rest/workspace-proxies";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { Hosts } from "../auth/hosts.ts";
import { ServerError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { OpenStreams } from "../base/open-streams.ts";
import { dialerToOthers } from "../base/outgoing.ts";
import { OwnAddresses } from "../base/own-addresses.ts";
import { AGENT_API_VERSION, BUILD_VERSION, PROVISIONER_API_VERSION } from "../base/version.ts";
import { type Bound, bindConfigured, NOT_BOUND } from "../http/bind-configured.ts";
import { clientAddressReader } from "../http/client-address.ts";
import { FrontDoor } from "../http/front-door.ts";
import { DEFAULT_LIMITS } from "../http/limits.ts";
import { Listeners } from "../http/listeners.ts";
import { certificateMetrics, createProcessMetrics } from "../http/process-metrics.ts";
import { Certificates } from "../http/tls.ts";
import type { RelayListener } from "../relay/relay-listener.ts";
import { relayMetrics } from "../relay/relay-metrics.ts";
import { stunListenAddress } from "../relay/stun-address.ts";
import { type StunPart, startStun } from "../relay/stun-part.ts";
import type { AgentTunnels } from "../tunnels/agent-tunnels.ts";
import { ProxyApps } from "./apps/proxy-apps.ts";
import type { ProxyConfig } from "./config.ts";
import { proxyAppMetrics, proxyMetrics } from "./metrics.ts";
import { Primary, type PrimaryInfo, reasonOf } from "./primary.ts";
import { ProxyRelay } from "./proxy-relay.ts";
import type { RegisterEnd } from "./register-loop.ts";
import { Registrar } from "./registrar.ts";
import { reportOf } from "./report.ts";
import { proxyRoutes } from "./routes.ts";

export interface ProxyDeps {
  readonly log: Logger;
  /** Dials the primary and siblings. */
  readonly dialer?: Dialer | undefined;
  /** How often the files of the TLS certificates are checked for changes. */
  readonly certificateCheckMs?: number;
  /** How long clients stay that the first message of a new stream of relay keys does not name. */
  readonly keyGraceMs?: number;
  /** Replaces the real tunnels to agents. */
  readonly tunnels?: Pick<AgentTunnels, "acquire" | "end" | "close">;
}

export class WorkspaceProxy implements Bound, AsyncDisposable {
  /** New at every start. */
  readonly replicaId = randomUUID();
  /** Resolves when the proxy cannot continue. */
  readonly failed: Promise<ServerError>;
  readonly #config: ProxyConfig;
  readonly #deps: ProxyDeps;
  readonly #log: Logger;
  readonly #fail: (error: ServerError) => void;
  readonly #dialer: Dialer;
  readonly #metrics = createProcessMetrics();
  readonly #certificates: Certificates | undefined;
  readonly #addresses: OwnAddresses;
  readonly #listeners: Listeners;
  readonly #primary: Primary;
  readonly #registrar: Registrar;
  readonly #streams = new OpenStreams();
  /** Undefined with --derp-server-enable=false. */
  readonly #relay: ProxyRelay | undefined;
  /** Undefined with --derp-only. */
  readonly #apps: ProxyApps | undefined;
  #primaryInfo: PrimaryInfo | undefined;
  #regionId: number | undefined;
  #clockAheadMs: number | undefined;
  #problem: string | undefined;
  #bound = NOT_BOUND;
  #stun: StunPart | undefined;
  #stopWatchingCertificates: () => void = () => undefined;
  #closing: Promise<void> | undefined;

  /** Throws ServerError ERR_TLS_CERTIFICATE. */
  constructor(config: ProxyConfig, deps: ProxyDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#log = deps.log;
    const { promise, resolve } = Promise.withResolvers<ServerError>();
    this.failed = promise;
    this.#fail = resolve;
    this.#dialer = deps.dialer ?? dialerToOthers();
    this.#certificates = config.tls === undefined ? undefined : new Certificates(config.tls, deps.log);
    this.#addresses = new OwnAddresses({ ...config, redirectToAccessUrl: false });
    const clientAddress = clientAddressReader(config);
    this.#primary = new Primary({ url: config.primaryUrl, token: config.token, dialer: this.#dialer });
    this.#relay = config.relay ? this.#newRelay(clientAddress) : undefined;
    this.#apps = config.derpOnly ? undefined : this.#newApps(clientAddress);
    this.#registrar = this.#newRegistrar();
    this.#listeners = this.#newListeners(clientAddress);
    this.#addMetrics();
  }

  /** Undefined for a proxy without a relay. */
  get relay(): RelayListener | undefined {
    return this.#relay?.listener;
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
  /** UDP port of the proxy's own STUN server, if there is one. */
  get stunPort(): number | undefined {
    return this.#stun?.port;
  }

  /** Binds every configured address and starts to register. Throws ServerError. */
  async listen(): Promise<void> {
    const { stunServer } = this.#config;
    const log = this.#log;
    if (stunServer !== undefined)
      this.#stun = await startStun(stunListenAddress(this.#config, stunServer), log, this.#metrics.registry);
    this.#bound = await bindConfigured(this.#listeners, this.#config, {
      addresses: this.#addresses,
      certificates: this.#certificates,
      metrics: this.#metrics.registry,
      whatCrosses: "the relay's clients and their packets' addresses, and the contents of terminals and apps,",
      log,
    });
    this.#stopWatchingCertificates = this.#certificates?.watch(this.#deps.certificateCheckMs) ?? (() => undefined);
    this.#registrar.start();
  }

  /** The answer of `/healthz-report`. */
  report(): ProxyHealthReport {
    const now = monotonicNow();
    const { registered, failure, refusedAt } = this.#registrar.loop;
    return reportOf({
      version: BUILD_VERSION,
      primaryVersion: this.#primaryInfo?.version,
      registered,
      failure: failure === undefined ? undefined : { why: failure.why, forMs: now - failure.since },
      refusedForMs: refusedAt === undefined ? undefined : now - refusedAt,
      admission: this.#relay?.admission,
      streamProblem: this.#relay?.streamProblem,
      siblings: this.#relay?.siblings() ?? { all: 0, failed: 0 },
      appKeysProblem: this.#apps?.keysProblem,
      clockAheadMs: this.#apps === undefined ? undefined : this.#clockAheadMs,
    });
  }

  /** Reloads the TLS certificates and logs the outcome. */
  reloadCertificates(reason: string): void {
    if (this.#certificates === undefined) this.#log.info({ reason }, "there are no TLS certificates to reload");
    else this.#certificates.reload(reason);
  }

  /** Deregisters, asks clients to reconnect, and ends everything. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { registered, refusedAt } = this.#registrar.loop;
    await this.#registrar.close();
    await this.#relay?.stopFollowing();
    if (registered && refusedAt === undefined) {
      await this.#primary.deregister(this.replicaId).catch((error: unknown) => {
        this.#log.warn(
          { why: reasonOf(error) },
          "deregistering from the primary failed; its health check notices that this proxy is gone",
        );
      });
    }
    this.#stopWatchingCertificates();
    this.#listeners.startClosing();
    await this.#apps?.close();
    await this.#relay?.close();
    await this.#stun?.close();
    await this.#listeners.closed();
    this.#dialer.close();
  }

  #newRelay(clientAddress: ReturnType<typeof clientAddressReader>): ProxyRelay {
    return new ProxyRelay({
      deployment: this.#primary.deployment,
      dialer: this.#dialer,
      clientAddress,
      keyGraceMs: this.#deps.keyGraceMs,
      onTokenRefused: () => this.#tokenDoubted(),
      log: this.#log,
    });
  }

  #newApps(clientAddress: ReturnType<typeof clientAddressReader>): ProxyApps {
    const { primaryUrl, accessUrl, pathApps, token, wildcard } = this.#config;
    return new ProxyApps({
      primary: this.#primary,
      primaryUrl,
      accessUrl,
      wildcard,
      pathApps,
      proxyToken: () => token.read(),
      onTokenRefused: () => this.#tokenDoubted(),
      terminalLimits: DEFAULT_LIMITS.terminals,
      streams: this.#streams,
      clientAddress,
      tunnels: this.#deps.tunnels,
      log: this.#log,
    });
  }

  #newRegistrar(): Registrar {
    return new Registrar({
      primary: this.#primary,
      clock: monotonicNow,
      random: Math.random,
      statement: () => this.#statement(),
      onIdentified: (info) => {
        this.#primaryInfo = info;
        this.#apps?.identified(info);
      },
      onRegistered: (registration) => this.#registered(registration),
      onFailed: (why, tokenRefused) => this.#registrationFailed(why, tokenRefused),
      onEnd: (end) => this.#fail(endOf(end, this.#config.primaryUrl)),
    });
  }

  #newListeners(clientAddress: ReturnType<typeof clientAddressReader>): Listeners {
    const { allowedHosts, hstsMaxAgeSeconds, accessUrl } = this.#config;
    const { relay } = this;
    const apps = this.#apps;
    const routes = proxyRoutes({
      ready: () => this.#registrar.loop.registered && this.#closing === undefined,
      report: () => this.report(),
      buildInfo: () => this.#buildInfo(),
    });
    const door = new FrontDoor({
      upgradeRoutes: [...(relay?.upgradeRoutes ?? []), ...(apps?.upgradeRoutes ?? [])],
      requestRoutes: [...(relay?.requestRoutes ?? []), ...routes],
      hosts: new Hosts(() => this.#addresses.accessUrl(), allowedHosts),
      clientAddress,
      settings: { accessUrl, redirectToAccessUrl: false, hstsMaxAgeSeconds },
      limits: DEFAULT_LIMITS,
      log: this.#log,
      recordRequest: this.#metrics.recordRequest,
      apps: apps?.routing,
    });
    return new Listeners({ door, limits: DEFAULT_LIMITS, streams: this.#streams, log: this.#log });
  }

  #addMetrics(): void {
    const { registry } = this.#metrics;
    const relay = this.#relay;
    const apps = this.#apps;
    if (relay !== undefined) relayMetrics(relay.listener, registry);
    if (this.#certificates !== undefined) certificateMetrics(registry, this.#certificates);
    proxyMetrics(registry, { registerFailures: () => this.#registrar.loop.failures, keys: relay?.keys });
    if (apps !== undefined) proxyAppMetrics(registry, apps);
  }

  #statement(): RegisterProxyRequest {
    return {
      access_url: this.#config.accessUrl.origin,
      wildcard_hostname: this.#config.wildcard?.pattern ?? "",
      derp_enabled: this.#config.relay,
      derp_only: this.#config.derpOnly,
      path_apps: this.#config.pathApps,
      replica_id: this.replicaId,
      hostname: hostname(),
      replica_error: this.#relay?.problem() ?? "",
      replica_relay_address: (this.#relay === undefined ? undefined : this.#config.relayUrl?.origin) ?? "",
      version: BUILD_VERSION,
      stun_port: this.#stun?.port ?? 0,
    };
  }

  #registered(registration: RegisterProxyResponse): void {
    const { derp_region_id: regionId, time } = registration;
    this.#clockAheadMs = time === undefined ? undefined : Date.now() - Date.parse(time);
    if (this.#problem !== undefined || this.#regionId === undefined)
      this.#log.info({ primary: this.#config.primaryUrl.origin, region: regionId }, "registered with the primary");
    else if (this.#regionId !== regionId)
      this.#log.info({ before: this.#regionId, region: regionId }, "the proxy's relay has another region id");
    this.#problem = undefined;
    this.#regionId = regionId;
    this.#relay?.registered(registration, this.replicaId);
    this.#apps?.registered(registration);
  }

  /** Registers soon, which shows whether the primary still accepts the token. */
  #tokenDoubted(): void {
    if (this.#registrar.loop.refusedAt === undefined) this.#registrar.renewSoon();
  }

  #registrationFailed(why: string, tokenRefused: boolean): void {
    const level = this.#problem === why ? "debug" : "warn";
    this.#log[level](
      { primary: this.#config.primaryUrl.origin, why },
      "cannot register with the primary; it is tried again",
    );
    this.#problem = why;
    if (!tokenRefused) return;
    this.#relay?.tokenRefused();
    this.#apps?.tokenRefused();
  }

  #buildInfo(): object {
    return {
      external_url: this.#config.accessUrl.origin,
      version: BUILD_VERSION,
      dashboard_url: this.#config.primaryUrl.origin,
      telemetry: false,
      workspace_proxy: true,
      agent_api_version: AGENT_API_VERSION,
      provisioner_api_version: PROVISIONER_API_VERSION,
      upgrade_message: "",
      deployment_id: "",
    };
  }
}

function endOf(end: RegisterEnd, primaryUrl: URL): ServerError {
  const primary = `"${primaryUrl.origin}"`;
  if (end === "primary-is-proxy") {
    return new ServerError("ERR_PRIMARY_IS_PROXY", `${primary} is a workspace proxy itself`, {
      why: "a proxy belongs to a deployment",
      nextSteps: ["set --primary-access-url to the access URL of the deployment"],
    });
  }
  return new ServerError("ERR_PROXY_TOKEN", `The deployment ${primary} does not accept this proxy's token`, {
    why:
      end === "token-refused"
        ? "the proxy was deleted, its token replaced, or it belongs to another deployment"
        : "for 15 minutes now: the proxy was deleted or its token replaced",
    nextSteps: [
      "make a new token: coder wsproxy regenerate-token NAME",
      "start the proxy again with that token in CODER_PROXY_SESSION_TOKEN",
    ],
  });
}
