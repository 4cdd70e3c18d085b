/**
 * Everything that the server answers over HTTP: gives each group of routes the parts that it uses, and puts all behind one front
 * door.
 */
import { getRequestListener } from "@hono/node-server";
import { AgentPorts } from "./apps/agent-ports.ts";
import { AgentTerminals } from "./apps/agent-terminals.ts";
import { EchoTickets } from "./auth/echo-tickets.ts";
import { Places } from "./base/places.ts";
import { TextSockets } from "./base/text-sockets.ts";
import { UpgradeSources } from "./base/upgrade-sources.ts";
import { BUILD_VERSION } from "./base/version.ts";
import { Catalogue, type ProgramSources, programSources } from "./downloads/catalogue.ts";
import { HealthChecks } from "./health/health-checks.ts";
import type { DashboardFiles } from "./http/dashboard/build-output.ts";
import { proxyOrigins } from "./http/dashboard/proxy-origins.ts";
import { relaySockets } from "./http/dashboard/relay-sockets.ts";
import { dashboardRoutes } from "./http/dashboard/serve.ts";
import { FrontDoor } from "./http/front-door.ts";
import { requireUser } from "./http/guards.ts";
import { dashboardStreamRoute, MAX_REQUEST_BYTES } from "./http/live/dashboard-stream.ts";
import { Feeds } from "./http/live/feed.ts";
import { Topics } from "./http/live/topics.ts";
import { WorkspaceOwners } from "./http/live/workspace-owners.ts";
import { LoginCookies } from "./http/login-cookies.ts";
import { socketMetrics } from "./http/metrics.ts";
import { RequestAudit } from "./http/request-audit.ts";
import { buildRouter } from "./http/router.ts";
import { agentRoutes } from "./http/routes/agents.ts";
import { apiKeyRoutes } from "./http/routes/api-keys.ts";
import { applicationRoutes } from "./http/routes/applications.ts";
import { cliAuthRoutes } from "./http/routes/cli-auth.ts";
import { connectionPolicyRoutes } from "./http/routes/connection-policies.ts";
import { connectionRoutes } from "./http/routes/connections.ts";
import { debugRoutes } from "./http/routes/debug.ts";
import { declaredAppRoutes } from "./http/routes/declared-apps.ts";
import { deploymentRoutes } from "./http/routes/deployment.ts";
import { downloadRoute } from "./http/routes/downloads.ts";
import { fileRoute } from "./http/routes/files.ts";
import { networkRoutes } from "./http/routes/network.ts";
import { notificationRoutes } from "./http/routes/notifications.ts";
import { portShareRoutes } from "./http/routes/port-shares.ts";
import { probeRoutes } from "./http/routes/probes.ts";
import { profileRoutes } from "./http/routes/profile.ts";
import { proxyAppRoutes } from "./http/routes/proxy-apps.ts";
import { proxyRoutes, relayKeysRoute } from "./http/routes/proxy-self.ts";
import { relayAdmissionRoutes } from "./http/routes/relay-admission.ts";
import { replicaRoutes } from "./http/routes/replicas.ts";
import { templateRoutes } from "./http/routes/templates.ts";
import { terminalRoutes } from "./http/routes/terminals.ts";
import { restUpgradeRoutes } from "./http/routes/upgrades.ts";
import { userRoutes } from "./http/routes/users.ts";
import { WorkspacePaths } from "./http/routes/workspace-paths.ts";
import { workspaceProxyRoutes } from "./http/routes/workspace-proxies.ts";
import { workspaceRoutes } from "./http/routes/workspaces.ts";
import { agentSender, proxySender } from "./http/senders.ts";
import { EventStreams } from "./http/streams/event-streams.ts";
import { LogFollowers } from "./http/streams/follow-logs.ts";
import { Watches } from "./http/streams/watch.ts";
import { Watchables } from "./http/streams/watched.ts";
import { BrowserTerminals } from "./http/terminals/browser-terminals.ts";
import { appearanceView } from "./http/views/appearance.ts";
import { type ClusterDebugFacts, clusterDebug } from "./http/views/cluster-debug.ts";
import { WorkspacePresenter } from "./http/views/presenter.ts";
import { relayOrigins } from "./http/views/regions.ts";
import { userView } from "./http/views/users.ts";
import { proxyView } from "./http/views/workspace-proxies.ts";
import type { Parts } from "./parts.ts";
import { AgentFiles } from "./tunnels/agent-files.ts";
import { WorkspaceLoader } from "./workspaces/loader.ts";
import { WorkspaceSearch } from "./workspaces/workspace-search.ts";

export type HttpSurface = ReturnType<typeof buildHttpSurface>;

export function buildHttpSurface(
  parts: Parts,
  { packaged, dashboard }: { packaged?: ProgramSources | undefined; dashboard?: DashboardFiles | undefined },
) {
  const { config, keys, store, deployment, clock, log, metrics, limits, addresses, streams, clientAddress } = parts;
  const {
    access,
    accounts,
    authenticator,
    hosts,
    secureCookies,
    sessions,
    changes,
    agentState,
    agentHttp,
    control,
    probeKeys,
  } = parts;
  const { bodyBytes } = limits;
  const { connectionPolicies } = parts;

  const eventStreams = new EventStreams({ places: new Places("event streams", limits.eventStreams), streams });
  const sockets = new TextSockets({
    places: new Places("WebSockets", limits.webSockets),
    heartbeatMs: limits.heartbeatMs,
    streams,
  });
  socketMetrics(metrics.registry, sockets);
  const { maxShareLevel } = config;
  const presenter = new WorkspacePresenter({
    loader: new WorkspaceLoader(store),
    browserOnlyRule: () => connectionPolicies.rule(),
    live: (agentId) => ({ latency: control.agentLatency(agentId), contest: control.agentContest(agentId) }),
    deployment,
    maxShareLevel,
    clock,
  });
  const agentPorts = new AgentPorts({
    tables: store,
    portShares: parts.portShares,
    agentHttp,
    wildcard: config.wildcardAccessUrl,
    accessUrl: () => addresses.browserUrl(),
    clock,
  });
  const agentTerminals = new AgentTerminals({ agents: store.agents, users: store.users, agentHttp, clock, log });
  const watchables = new Watchables({ tables: store, presenter, clock, repeatMetadataMs: limits.repeatMetadataMs });
  const watches = new Watches({ changes, access, eventStreams, clientAddress, log });
  const logs = new LogFollowers({ agentLogs: store.agentLogs, changes, access });

  const user = requireUser(authenticator, new Places("requests", limits.requests), parts.replicaId);
  const requestAgent = agentSender(authenticator, new Places("requests of agents", limits.requests));
  const proxyRequests = new Places("requests of workspace proxies", limits.proxyRequests);
  const requestProxy = proxySender(parts.proxies.authenticator, proxyRequests);
  const audit = new RequestAudit(parts.audit, clientAddress);
  const cookies = new LoginCookies({
    csrfKey: keys.csrf,
    sessionDurationMs: config.sessionDurationMs,
    isSecure: secureCookies,
    log,
  });
  const search = new WorkspaceSearch({ tables: store, deployment, clock });
  const echoTickets = new EchoTickets(keys.signing, clock);
  const upgradeSources = new UpgradeSources(({ address }) => {
    if (parts.replicas().length > 1)
      log.warn(
        { address },
        "nearly all connections come from one address: a proxy there is not among --proxy-trusted-origins",
      );
  }, parts.isSibling);
  const proxySources = {
    proxies: () => parts.proxies.directory.all.map((row) => proxyView(row, clock.now())),
    leftOut: () => parts.relayMaps.leftOut,
    areCurrent: () => parts.proxies.directory.isCurrent,
    areChecked: () => !parts.proxies.checks.isSuspended,
    version: BUILD_VERSION,
  };
  const health = new HealthChecks({
    config,
    addresses,
    store,
    control,
    probeKeys,
    echoHeaders: () => echoTickets.headers(),
    replicas: {
      list: () => parts.replicas(),
      links: () => parts.mesh?.status() ?? [],
      commonSource: () => upgradeSources.common(),
      shared: () =>
        parts.cluster === undefined || parts.databaseClock === undefined
          ? undefined
          : { mode: parts.cluster.mode, skewMs: parts.databaseClock.offsetMs },
    },
    proxies: proxySources,
    clock,
    log,
  });
  const { users, apiKeys, agentLogs, settings } = store;
  const { maxTokenLifetimeMs } = config;
  const embeddedRegionId = config.derp.serverEnabled ? config.derp.regionId : undefined;

  const router = buildRouter(
    [
      (api) =>
        deploymentRoutes(api, { user, config, deployment, addresses, users, connectionPolicies, clock, bodyBytes }),
      (api) => userRoutes(api, { user, users, accounts, sessions, cookies, hosts, audit, deployment, bodyBytes }),
      (api) => profileRoutes(api, { user, tables: store, accounts, changes, deployment, audit, bodyBytes }),
      (api) => apiKeyRoutes(api, { user, users, apiKeys, sessions, audit, clock, maxTokenLifetimeMs, bodyBytes }),
      (api) => replicaRoutes(api, { user, replicas: () => parts.replicas() }),
      (api) =>
        proxyAppRoutes(api, {
          user,
          requestProxy,
          proxies: parts.proxies,
          keys: parts.proxyApps.keys,
          tokens: parts.proxyApps.tokens,
          signIn: parts.proxyApps.signIn,
          uses: parts.proxyApps.uses,
          clock,
          bodyBytes,
        }),
      (api) =>
        proxyRoutes(api, {
          requestProxy,
          proxies: parts.proxies,
          regionIdOf: (number) => parts.relayMaps.proxyRegionId(number),
          meshKeyOf: parts.proxyMeshKeyOf,
          relayMap: () => control.relayMap(),
          forceWebSockets: config.derp.forceWebsockets,
          blockDirect: config.derp.blockDirect,
          clock,
          bodyBytes,
        }),
      (api) =>
        workspaceProxyRoutes(api, {
          user,
          proxies: parts.proxies,
          settings,
          config,
          deployment,
          addresses,
          audit,
          clock,
          bodyBytes,
        }),
      (api) => templateRoutes(api, { user, deployment, clock, maxShareLevel }),
      (api) =>
        workspaceRoutes(api, {
          user,
          tables: store,
          workspaces: parts.workspaces,
          search,
          presenter,
          watches,
          watchables,
          addresses,
          deployment,
          clock,
          bodyBytes,
        }),
      (api) =>
        agentRoutes(api, {
          user,
          requestAgent,
          authenticator,
          agentState,
          agentLogs,
          agentPorts,
          control,
          connectionPolicies,
          presenter,
          watches,
          watchables,
          clock,
          limits,
        }),
      (api) => terminalRoutes(api, { user, authenticator, agentTerminals, agentHttp, clock, bodyBytes, log }),
      (api) =>
        applicationRoutes(api, {
          user,
          authenticator,
          signIn: parts.webApps.signIn,
          proxySignIn: parts.proxyApps.signIn,
          wildcard: config.wildcardAccessUrl,
          addresses,
        }),
      (api) =>
        portShareRoutes(api, {
          user,
          tables: store,
          paths: new WorkspacePaths(store),
          portShares: parts.portShares,
          maxShareLevel,
          bodyBytes,
        }),
      (api) =>
        declaredAppRoutes(api, {
          user,
          requestAgent,
          paths: new WorkspacePaths(store),
          apps: parts.declaredApps,
          maxShareLevel,
          bodyBytes,
        }),
      (api) =>
        connectionPolicyRoutes(api, {
          user,
          users,
          paths: new WorkspacePaths(store),
          connectionPolicies,
          presenter,
          audit,
          deployment,
          bodyBytes,
        }),
      (api) => connectionRoutes(api, { user, tables: store }),
      (api) =>
        networkRoutes(api, {
          user,
          authenticator,
          control,
          recorder: parts.networkRecorder,
          agentHttp,
          blockDirect: config.derp.blockDirect,
          embeddedRegionId,
          now: () => clock.now(),
        }),
      (api) => notificationRoutes(api, { user }),
      (api) =>
        debugRoutes(api, {
          user,
          health,
          settings,
          control,
          cluster: () => clusterDebug(clusterFacts(parts)),
          bodyBytes,
        }),
      (api, root) =>
        relayAdmissionRoutes(root, api, {
          user,
          signingKey: keys.signing,
          addresses,
          probeKeys,
          admitsKey: (key, waitMs) => control.admitsKey(key, waitMs),
        }),
      (_api, root) => cliAuthRoutes(root, { authenticator, sessions, cookies, hosts, audit, csrfKey: keys.csrf }),
      (_api, root) => probeRoutes(root, { addresses, store, unready: () => parts.unready() }),
    ],
    log,
  );

  const topics = new Topics({
    feeds: new Feeds((key, error) => log.error({ err: error, key }, "reading for dashboards failed")),
    authenticator,
    tables: store,
    search,
    owners: new WorkspaceOwners(async (id) => (await store.workspaces.byId(id))?.owner_id),
    watchables,
    changes,
    agentPorts,
    agentTerminals,
    maxShareLevel,
    network: (agentId) => control.agentNetwork(agentId),
    health: async () => {
      const { time, severity } = await health.report(false);
      return { time, severity };
    },
    me: async (userId) => {
      const row = await users.byId(userId);
      if (row === undefined) return undefined;
      const appearance = appearanceView(await store.userSettings.read(userId, "appearance"));
      return { user: userView(row, deployment), appearance };
    },
    now: () => clock.now(),
  });
  const dashboards = new TextSockets({
    places: new Places("dashboards", limits.dashboards),
    heartbeatMs: limits.heartbeatMs,
    streams,
    maxMessageBytes: MAX_REQUEST_BYTES,
  });
  const terminals = new BrowserTerminals({
    authenticator,
    access,
    connectionPolicies,
    tunnels: parts.tunnels,
    agentHttp,
    streams,
    limits: limits.terminals,
    clientAddress,
    log,
  });
  const upgradeRoutes = [
    ...(parts.relay?.upgradeRoutes ?? []),
    ...control.upgradeRoutes,
    terminals.route,
    parts.proxyTunnels.route,
    relayKeysRoute({ proxies: parts.proxies, control, streams, limits, log }),
    dashboardStreamRoute({
      authenticator,
      access,
      accessEvents: parts.accessEvents,
      sockets: dashboards,
      topics,
      clientAddress,
      now: () => clock.now(),
      log,
    }),
    ...restUpgradeRoutes({
      authenticator,
      echoTickets,
      tables: store,
      sockets,
      watches,
      watchables,
      logs,
      access,
      clientAddress,
    }),
  ];
  const catalogue = new Catalogue(programSources(config.binariesDir, packaged));
  const door = new FrontDoor({
    upgradeRoutes,
    requestRoutes: [
      ...(parts.relay?.requestRoutes ?? []),
      downloadRoute({ catalogue, limits: limits.downloads, clientAddress }),
      fileRoute({
        authenticator,
        files: new AgentFiles(parts.tunnels),
        policies: config.browserOnlyFiles ? undefined : connectionPolicies,
        maxUploadBytes: config.maxUploadBytes,
        limits: limits.files,
        clientAddress,
        log,
      }),
      ...dashboardRoutes({
        files: config.dashboard ? dashboard : undefined,
        authenticator,
        tables: store,
        network: (agentId) => control.agentNetwork(agentId),
        now: () => clock.now(),
        deployment,
        addresses,
        connectOrigins: () => [
          ...relayOrigins(control.relayMap(), embeddedRegionId),
          ...proxyOrigins(parts.appProxies()),
        ],
        relaySockets: () => relaySockets(control.relayMap()),
        log,
      }),
    ],
    rest: getRequestListener((request, env) => router.fetch(request, env), { overrideGlobalObjects: false }),
    hosts,
    clientAddress,
    settings: config,
    limits,
    log,
    recordRequest: metrics.recordRequest,
    upgradeSources,
    apps: parts.webApps.routing,
  });
  return { door, router, upgradeRoutes, health };
}

function clusterFacts(parts: Parts): ClusterDebugFacts {
  const { cluster, clusterWatch, databaseClock, mesh, store } = parts;
  const links = mesh?.status() ?? [];
  const own = parts.replicas()[0]!;
  if (cluster === undefined) return { own, cluster, links, pool: store.pool };
  const { state, mode, waitingRows } = cluster;
  const { recovered, reconciled, faults } = clusterWatch;
  const skewMs = databaseClock?.offsetMs ?? 0;
  const servers = clusterWatch.servers();
  return {
    own,
    cluster: { state, mode, waitingRows, skewMs, servers, recovered, reconciled, faults },
    links,
    pool: store.pool,
  };
}
