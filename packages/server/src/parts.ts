/**
 * Builds the parts of the server from the bottom up: each gets what it uses through its constructor, and knows nothing of those
 * that come after it. server.ts decides what is bound to a port, and in which order everything ends.
 */
import { hostname } from "node:os";
import { Deployment } from "coder-client/rest/deployment";
import { hexDecode } from "wg-userspace/base/bytes";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite, nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { APP_TUNNEL_KEY, type AppTunnels, appDialer } from "./apps/app-dialer.ts";
import { PortShareService } from "./apps/port-shares.ts";
import { ProxyApps } from "./apps/proxy-apps.ts";
import { WebApps } from "./apps/web-apps.ts";
import { AccessChanges } from "./auth/access-changes.ts";
import { AccessEvents } from "./auth/access-events.ts";
import { AccessWatch } from "./auth/access-watch.ts";
import { Accounts } from "./auth/accounts.ts";
import { Audit } from "./auth/audit.ts";
import { Authenticator } from "./auth/authenticator.ts";
import { Hosts } from "./auth/hosts.ts";
import { KeyExpiry } from "./auth/key-expiry.ts";
import { OfflineAudit } from "./auth/offline-audit.ts";
import { OwnClient } from "./auth/own-client.ts";
import { DEFAULT_PASSWORD_COST, type PasswordCost, Passwords } from "./auth/passwords.ts";
import { Sessions } from "./auth/sessions.ts";
import { portProxyAddress } from "./base/app-name.ts";
import type { DatabaseClock, WallClock } from "./base/clock.ts";
import type { Logger } from "./base/log.ts";
import { OpenStreams } from "./base/open-streams.ts";
import { dialerToOurselves } from "./base/outgoing.ts";
import { OwnAddresses } from "./base/own-addresses.ts";
import { BUILD_VERSION } from "./base/version.ts";
import type { ServerConfig } from "./config/parse.ts";
import { ClusterEvents } from "./control/cluster/cluster-events.ts";
import { ClusterMetrics, clusterStateMetrics } from "./control/cluster/cluster-metrics.ts";
import { ClusterWatch } from "./control/cluster/cluster-watch.ts";
import { clusterOf, siblingsOf } from "./control/cluster/membership.ts";
import { ControlPlane } from "./control/control-plane.ts";
import { NetworkRecorder } from "./control/network-recorder.ts";
import { ProxyTunnels } from "./control/proxy-tunnels.ts";
import { RelayMaps } from "./control/relay-map.ts";
import type { DatabaseObserver } from "./db/backend.ts";
import type { DeploymentIds, Store } from "./db/store.ts";
import { clientAddressReader } from "./http/client-address.ts";
import { poolMetrics } from "./http/database-metrics.ts";
import { DEFAULT_LIMITS, type HttpLimits } from "./http/limits.ts";
import type { ServerMetrics } from "./http/metrics.ts";
import { meshMetrics } from "./relay/mesh-metrics.ts";
import { ProbeKeys } from "./relay/probe-keys.ts";
import { meshKeyOf, proxyMeshKeyOf, relayKeyOf } from "./relay/relay-keys.ts";
import { RelayListener } from "./relay/relay-listener.ts";
import { RelayMesh, SiblingAddresses } from "./relay/relay-mesh.ts";
import { relayMetrics } from "./relay/relay-metrics.ts";
import type { ServerKeys } from "./state/key-file.ts";
import { AgentHttp } from "./tunnels/agent-http.ts";
import { AgentTunnels } from "./tunnels/agent-tunnels.ts";
import { appProxies } from "./workspace-proxies/app-proxies.ts";
import { ProxyDirectory } from "./workspace-proxies/proxy-directory.ts";
import { proxyMetrics } from "./workspace-proxies/proxy-metrics.ts";
import { proxyServices } from "./workspace-proxies/proxy-services.ts";
import { AgentState } from "./workspaces/agent-state.ts";
import { Changes } from "./workspaces/changes.ts";
import { ConnectionPolicies } from "./workspaces/connection-policies.ts";
import { DeclaredApps } from "./workspaces/declared-apps.ts";
import { WorkspaceService } from "./workspaces/workspace-service.ts";

/** What exists before the first part: the settings, the time, and the contents of the state directory. */
export interface ServerInputs {
  readonly config: ServerConfig;
  /** The id of this process; new at every start. */
  readonly replicaId: string;
  readonly clock: WallClock;
  readonly log: Logger;
  readonly keys: ServerKeys;
  readonly store: Store;
  readonly deployment: DeploymentIds;
  readonly metrics: ServerMetrics;
  /** Set if several servers may share the database. */
  readonly databaseClock: DatabaseClock | undefined;
  readonly databaseObserver: DatabaseObserver | undefined;
}

/** Values that tests change. */
export interface PartsTuning {
  readonly limits?: Partial<HttpLimits>;
  readonly passwordCost?: PasswordCost;
  /** How long a connected agent may take to report its lifecycle. */
  readonly unstatedLifecycleMs?: number;
  /** How long the tunnel of a browser's terminal may take to open. */
  readonly tunnelConnectMs?: number;
  /** Tunnels to agents for web apps, instead of the server's own. */
  readonly appTunnels?: AppTunnels;
}

/** The region of a server without a relay, to which no sibling links. */
const NO_REGION = 0;
/** A tunnel for apps is kept this long after its last use. */
const APP_TUNNEL_LINGER_MS = 600_000;

export type Parts = Awaited<ReturnType<typeof buildParts>>;

/** Throws ServerError when the relay map that the settings name cannot be used. */
export async function buildParts(inputs: ServerInputs, tuning: PartsTuning) {
  const { config, replicaId, clock, log, keys, store, deployment, metrics, databaseClock, databaseObserver } = inputs;
  const limits: HttpLimits = { ...DEFAULT_LIMITS, ...tuning.limits };
  const addresses = new OwnAddresses(config);
  const streams = new OpenStreams();
  const clientAddress = clientAddressReader(config);
  const changes = new Changes();
  const proxyDirectory = new ProxyDirectory({ proxies: store.workspaceProxies, changes, log });
  await proxyDirectory.open();
  const relayMaps = await RelayMaps.open({ config: config.derp, addresses, proxies: proxyDirectory, log });

  const accessEvents = new AccessEvents();
  const accessChanges = new AccessChanges(store, accessEvents, log);
  const hosts = new Hosts(
    () => addresses.accessUrl(),
    config.allowedHosts,
    () => addresses.browserUrl(),
  );
  const passwords = new Passwords(tuning.passwordCost ?? DEFAULT_PASSWORD_COST);
  const audit = new Audit(log, clock, metrics.recordAudit);
  const servers = (): number => cluster?.replicas.length ?? 1;
  const sessions = new Sessions({ store, passwords, accessChanges, audit, lifetimes: config, clock, servers });
  const accounts = new Accounts({ store, passwords, accessChanges, clock });
  // A proxy in front of the server may terminate TLS.
  const secureCookies = (): boolean => config.secureAuthCookie || addresses.accessUrl().protocol === "https:";
  const authenticator = new Authenticator({
    store,
    csrfKey: keys.csrf,
    hosts,
    secureCookies,
    clock,
    events: accessEvents,
  });
  const access = new AccessWatch({ events: accessEvents, authenticator, recheckMs: limits.recheckMs, log });
  const offlineAudit = new OfflineAudit({ pending: store.pendingAudit, audit, log });
  const keyExpiry = new KeyExpiry({ store, events: accessEvents, clock, log });

  const { unstatedLifecycleMs } = tuning;
  const agentState = new AgentState({ store, changes, clock, log, unstatedLifecycleMs });
  const { wildcardAccessUrl: wildcard, maxShareLevel: maxLevel, maxShareDurationMs: maxDurationMs } = config;
  const declaredApps = new DeclaredApps({ store, changes, clock, maxLevel });
  const workspaces = new WorkspaceService({
    store,
    agentTokenKey: keys.agentToken,
    deployment,
    accessChanges,
    changes,
    clock,
    apps: declaredApps,
  });

  const connectionPolicies = new ConnectionPolicies({
    startedWith: config.browserOnly,
    store,
    accessChanges,
    changes,
    clock,
    monotonicNow,
    pagesUrl: () => (config.dashboard ? addresses.accessUrl() : undefined),
  });

  const ownClient = new OwnClient();
  const control = new ControlPlane({
    store,
    authenticator,
    ownClient,
    connectionPolicies,
    accessEvents,
    agentState,
    declaredApps,
    changes,
    relayMaps,
    signingKey: keys.signing,
    settings: {
      forceWebSockets: config.derp.forceWebsockets,
      blockDirect: config.derp.blockDirect,
      hostnameSuffix: config.workspaceHostnameSuffix,
      portProxyAddress: (place) =>
        wildcard === undefined ? "" : portProxyAddress(place, wildcard, addresses.browserUrl()),
    },
    limits,
    streams,
    clientAddress,
    clock,
    log,
    metrics: metrics.registry,
  });

  const networkRecorder = new NetworkRecorder({
    agents: () =>
      control.coordinator
        .describe()
        .filter(({ kind }) => kind === "agent")
        .map(({ id }) => id),
    network: (agentId) => control.agentNetwork(agentId),
    events: accessEvents,
    clock,
  });

  const probeKeys = new ProbeKeys();
  const ownHosts = () => ({ accessUrl: addresses.browserUrl(), wildcard: config.wildcardAccessUrl });
  const proxies = proxyServices({
    ownHosts,
    store,
    directory: proxyDirectory,
    accessEvents,
    accessChanges,
    regionIdOf: (number) => relayMaps.proxyRegionId(number),
    relayKeys: () => [...control.coordinator.relayKeys(clock.now()), ...probeKeys.list()],
    checkIntervalMs: config.proxyHealthIntervalMs,
    clock,
    log,
    onCheck: proxyMetrics(proxyDirectory, metrics.registry),
  });
  control.guard(proxies.relayKeys);
  probeKeys.guard(proxies.relayKeys);
  const relayKey = databaseClock === undefined ? keys.derpPrivate : relayKeyOf(keys.derpPrivate, replicaId);
  const meshKey = databaseClock === undefined ? undefined : meshKeyOf(keys.derpPrivate, deployment.deploymentId);
  const siblings = new SiblingAddresses();
  const isSibling = (address: string): boolean => siblings.has(address);
  const relay = config.derp.serverEnabled
    ? new RelayListener({
        privateKey: relayKey,
        meshKey,
        isSibling,
        crypto: nodeCryptoSuite,
        random: nodeRandom,
        clock: monotonicNow,
        admit: (key) => probeKeys.admits(key) || control.knowsKey(key),
        // Clients dial the relay and the coordinator at the same time, in any order.
        holdUnknown: true,
        addressOf: clientAddress,
      })
    : undefined;
  if (relay !== undefined) {
    control.guard(relay);
    relayMetrics(relay, metrics.registry);
  }

  const mesh =
    relay === undefined || meshKey === undefined
      ? undefined
      : new RelayMesh({
          relay: relay.mesh,
          privateKey: relayKey,
          meshKey,
          crypto: nodeCryptoSuite,
          random: nodeRandom,
          clock: monotonicNow,
          dialer: dialerToOurselves(config.tls?.certFiles ?? []),
          addresses: siblings,
          logger: { level: "info", log: (level, message, fields = {}) => log[level](fields, message) },
        });
  const replica = {
    id: replicaId,
    hostname: hostname(),
    // Set even without a relay: siblings use this address to ask whether the server is ready.
    relayAddress: config.derp.relayUrl?.origin ?? "",
    regionId: relay === undefined ? NO_REGION : config.derp.regionId,
    version: BUILD_VERSION,
    startedAt: clock.now(),
  };
  if (mesh !== undefined && relay !== undefined) meshMetrics(mesh, relay, metrics.registry);
  if (store.pool !== undefined) poolMetrics(metrics.registry, store.pool);
  const clusterWatch = new ClusterWatch((news, fields) => log.info(fields, `replica ${news}`));
  const cluster =
    store.openConnection === undefined || databaseClock === undefined
      ? undefined
      : clusterOf({
          openConnection: store.openConnection,
          watch: clusterWatch,
          metrics: new ClusterMetrics(metrics.registry, (query, seconds) => databaseObserver?.query(query, seconds)),
          control,
          relayKeys: proxies.relayKeys,
          clock: databaseClock,
          log,
          replica,
          events: new ClusterEvents({
            accessEvents,
            changes,
            agentLogs: store.agentLogs,
            checkKeys: {
              onLend: (listener) => probeKeys.onLend(listener),
              lentBySibling: (key) => {
                probeKeys.lentBySibling(key);
                relay?.admitHeld(hexDecode(key));
              },
            },
            log,
          }),
          dialer: () => dialerToOurselves(config.tls?.certFiles ?? []),
          problem: () => mesh?.problem() ?? "",
          onReplicas: (replicas) => mesh?.update(siblingsOf(replicas, replicaId, config.derp.regionId)),
        });

  if (cluster !== undefined) clusterStateMetrics(metrics.registry, clusterWatch, cluster);

  const ourselves = (token: string, headers: Readonly<Record<string, string>> = {}): Deployment =>
    new Deployment({
      url: addresses.ownUrl(),
      token,
      dialer: dialerToOurselves(config.tls?.certFiles ?? []),
      clientVersion: BUILD_VERSION,
      extraHeaders: async () => headers,
    });
  const tunnels = new AgentTunnels({
    deployment: (token) => ourselves(token, ownClient.marks),
    onError: (error) => log.warn({ err: error }, "closing a tunnel failed"),
    connectTimeoutMs: tuning.tunnelConnectMs,
  });
  const agentHttp = new AgentHttp(tunnels, log);

  const portShares = new PortShareService({ store, changes, clock, maxLevel, maxDurationMs });
  const appTunnels = new AgentTunnels({
    deployment: (token) => ourselves(token),
    onError: (error) => log.warn({ err: error }, "closing a tunnel for apps failed"),
    lingerMs: APP_TUNNEL_LINGER_MS,
    connectionInfo: async () => control.connectionInfo(),
  });
  const usedTunnels = tuning.appTunnels ?? appTunnels;
  const appAgents = new AgentHttp(usedTunnels, log);
  const webApps = new WebApps({
    wildcard,
    signingKey: keys.signing,
    pathApps: config.pathApps,
    authenticator,
    accessUrl: () => addresses.browserUrl(),
    maxLevel,
    dial: appDialer(usedTunnels, ownClient.token),
    listeningPorts: async (agentId) => {
      const { ports } = await appAgents.listeningPorts({ agentId, keyId: APP_TUNNEL_KEY, token: ownClient.token });
      return ports.map(({ port }) => port);
    },
    clientAddress,
    streams,
    store,
    portShares,
    events: accessEvents,
    changes,
    clock,
    log,
  });

  const servingProxies = () => appProxies(proxyDirectory.all, ownHosts());
  const proxyApps = new ProxyApps({
    store,
    deploymentId: deployment.deploymentId,
    signingKey: keys.signing,
    authenticator,
    policies: connectionPolicies,
    proxies: servingProxies,
    wildcard,
    accessUrl: () => addresses.browserUrl(),
    maxLevel,
    pathApps: config.pathApps,
    resolver: webApps.resolver,
    visitors: webApps.visitors,
    onUse: (workspaceId) => webApps.recordUse(workspaceId),
    clock,
    log,
    metrics: metrics.registry,
  });
  // After the web apps, which forget cached look-ups when an access event arrives.
  const proxyTunnels = new ProxyTunnels({
    control,
    proxies: store.workspaceProxies,
    authenticator: proxies.authenticator,
    requireServing: proxies.requireServing,
    rights: proxyApps.grants,
    accessEvents,
    changes,
    limits,
    clock,
    log,
    metrics: metrics.registry,
  });

  const standing = { draining: false };
  return {
    ...inputs,
    standing,
    isSibling,
    /** The reason why this server should get no new clients; undefined if it may. */
    unready: () => (standing.draining ? "draining" : cluster?.unready),
    limits,
    addresses,
    streams,
    clientAddress,
    accessEvents,
    hosts,
    audit,
    sessions,
    accounts,
    authenticator,
    secureCookies,
    access,
    keyExpiry,
    offlineAudit,
    changes,
    agentState,
    workspaces,
    declaredApps,
    connectionPolicies,
    control,
    networkRecorder,
    probeKeys,
    proxies,
    proxyMeshKeyOf: (proxyId: string, generation: number) => proxyMeshKeyOf(keys.derpPrivate, proxyId, generation),
    relayMaps,
    relay,
    mesh,
    cluster,
    clusterWatch,
    replicas: () => cluster?.replicas ?? [{ ...replica, error: "", databaseLatencyUs: 0 }],
    tunnels,
    agentHttp,
    portShares,
    appTunnels,
    webApps,
    appProxies: servingProxies,
    proxyApps,
    proxyTunnels,
  };
}
