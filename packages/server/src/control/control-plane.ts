/** The control WebSockets: who may open one, as which peer, and for how long. Joins coordinator, services and relay. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { runYamux } from "coder-client/control/yamux-websocket";
import { isUuid } from "coder-protocol/addresses";
import { NON_BROWSER_REFUSED } from "coder-protocol/browser-only";
import { serveRpc } from "coder-protocol/drpc/async";
import type { TelemetryEvent } from "coder-protocol/gen/tailnet_pb.js";
import type { ConnectionInfo, WorkspaceAgent } from "coder-protocol/rest/agents";
import { sessionIdOfBaggage } from "coder-protocol/session-id";
import { LOST_BY_CLOSE } from "coder-protocol/tailnet/node";
import { MISSING_AGENT_VERSION, MISSING_TAILNET_VERSION } from "coder-protocol/version";
import { YamuxSession } from "coder-protocol/yamux/session";
import { Counter, type Registry } from "prom-client";
import { type DerpMap, derpMapToJson } from "wg-userspace/derp/map";
import { type WebSocket, WebSocketServer } from "ws";
import { type AccessEvent, type AccessEvents, endsAccess, endsAgentSession } from "../auth/access-events.ts";
import { type AuthenticatedAgent, type Authenticator, holderOf } from "../auth/authenticator.ts";
import type { OwnClient } from "../auth/own-client.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound, shuttingDown } from "../base/domain-error.ts";
import type { Logger } from "../base/log.ts";
import type { OpenStreams } from "../base/open-streams.ts";
import { type PlaceLimits, Places } from "../base/places.ts";
import type { UpgradeRoute } from "../base/routes.ts";
import { CLOSE_GOING_AWAY } from "../base/text-sockets.ts";
import type { Store } from "../db/store.ts";
import type { AgentState } from "../workspaces/agent-state.ts";
import type { Changes } from "../workspaces/changes.ts";
import type { ConnectionPolicies } from "../workspaces/connection-policies.ts";
import type { DeclaredApps } from "../workspaces/declared-apps.ts";
import { type AgentNetwork, agentLatency, agentNetwork } from "./agent-network.ts";
import { agentService } from "./agent-service.ts";
import { type ConnectionEnd, PING_INTERVAL_MS, watchEnd } from "./connection-end.ts";
import { ConnectionLog } from "./connection-log.ts";
import { controlMetrics } from "./control-metrics.ts";
import type { ControlSettings } from "./control-settings.ts";
import { Coordinator } from "./coordinator.ts";
import type { CoordinatorRecorder } from "./coordinator-records.ts";
import {
  type CoordinatorDebug,
  coordinatorDebug,
  type DebugSources,
  type TailnetDebug,
  tailnetDebug,
} from "./debug.ts";
import { KeyWaits } from "./key-waits.ts";
import { legacyMapRoute } from "./legacy-map-route.ts";
import {
  type KnownClient,
  type OpenSocket,
  OpenSockets,
  RESTARTING,
  type Release,
  type SessionPlan,
} from "./open-socket.ts";
import { agentAuth, lookedUpClientAuth, ownClientAuth, type PeerAuth } from "./peer-auth.ts";
import { PeerReports } from "./peer-reports.ts";
import type { RelayMaps } from "./relay-map.ts";
import { requireVersion } from "./require-version.ts";
import { type ResumeHolder, ResumeTokens } from "./resume-token.ts";
import { SharedBudgets } from "./shared-budgets.ts";
import { type TailnetServiceDeps, tailnetService } from "./tailnet-service.ts";
import { TokenContests } from "./token-contests.ts";
import { WorkspaceUpdates } from "./workspace-updates.ts";

/** Stock peers send at most a stream's window, 256 KiB, as one message. An unfinished one waits in memory. */
const MAX_PAYLOAD_BYTES = 256 * 1024 + 1024;
/** Calls at once; stock peers have about ten. Each may hold a window of bytes. */
const MAX_STREAMS = 64;
/** Unfinished messages of all connections of one user, their agents' included; the longest has 4 MiB. */
const UNFINISHED_BYTES_PER_USER = 16 * 1024 * 1024;
/** The first while one replaces the other; more are attempts of one token used twice. */
const MAX_SOCKETS_PER_AGENT = 4;
/** An agent that answered no ping for this long is gone. */
const AGENT_PING_TIMEOUT_MS = 30_000;
/** Tabs that are peers themselves. */
const BROWSER_PEERS = { total: 4_096, perUser: 8 };
const SWEEP_MS = 60_000;
const CLOSE_INTERNAL_ERROR = 1011;
/** RFC 6455 §7.4.1: no close frame came. */
const CLOSE_ABNORMAL = 1006;
/** Normal, going away, and a close frame without a code. */
const CLEAN_CLOSES: ReadonlySet<number> = new Set([1000, 1001, 1005]);
const MAX_CLOSE_REASON_BYTES = 123;
const ACCESS_REVOKED = "access revoked";

/** How relays learn which keys they may serve. */
export interface RelayGate {
  admitHeld(publicKey: Uint8Array): void;
  revoke(publicKey: Uint8Array): void;
}

export interface ControlPlaneOptions {
  readonly store: Store;
  readonly authenticator: Authenticator;
  readonly ownClient: OwnClient;
  readonly connectionPolicies: ConnectionPolicies;
  readonly accessEvents: AccessEvents;
  readonly agentState: AgentState;
  readonly declaredApps: DeclaredApps;
  readonly changes: Changes;
  readonly relayMaps: RelayMaps;
  /** Of resume tokens. */
  readonly signingKey: Uint8Array;
  readonly settings: ControlSettings;
  readonly limits: {
    readonly clientSockets: PlaceLimits;
    readonly agentSockets: PlaceLimits;
    readonly mapSockets: PlaceLimits;
    readonly heartbeatMs: number;
  };
  readonly streams: OpenStreams;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly clock: WallClock;
  readonly log: Logger;
  readonly metrics: Registry;
}

export class ControlPlane {
  readonly upgradeRoutes: readonly UpgradeRoute[];
  readonly coordinator: Coordinator;
  readonly #options: ControlPlaneOptions;
  readonly #resumeTokens: ResumeTokens;
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_PAYLOAD_BYTES });
  readonly #open = new OpenSockets();
  readonly #unfinished = new SharedBudgets(UNFINISHED_BYTES_PER_USER);
  readonly #clientPlaces: Places;
  readonly #browserPlaces = new Places("tunnels of web pages", BROWSER_PEERS);
  readonly #agentPlaces: Places;
  readonly #contests = new TokenContests();
  readonly #reports = new PeerReports();
  readonly #workspaceUpdates: WorkspaceUpdates;
  readonly #timer: NodeJS.Timeout;
  readonly #stopEvents: () => void;
  readonly #telemetry: Counter<"status">;
  readonly #keyWaits = new KeyWaits();
  readonly #connectionLog: ConnectionLog;
  readonly #gates: RelayGate[] = [];
  #recorder: CoordinatorRecorder | undefined;
  /** Why new connections are refused. */
  readonly #refusals = new Map<string, () => DomainError>();
  #closing = false;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    this.#resumeTokens = new ResumeTokens(options.signingKey);
    this.#workspaceUpdates = new WorkspaceUpdates(options.store, options.changes);
    const { limits } = options;
    this.#clientPlaces = new Places("control connections", limits.clientSockets);
    this.#agentPlaces = new Places("control connections of agents", limits.agentSockets);
    this.coordinator = new Coordinator({
      onKey: (key) => {
        for (const gate of this.#gates) gate.admitHeld(key);
        this.#keyWaits.came(key);
      },
      onKeyGone: (key) => {
        for (const gate of this.#gates) gate.revoke(key);
      },
      onRecord: (record) => this.#recorder?.record(record),
    });
    this.#connectionLog = new ConnectionLog(this.coordinator, options.log);
    this.upgradeRoutes = [
      {
        name: "coordinate",
        upgradeOnly: true,
        match: ({ pathname }) => agentOfPath(pathname) !== undefined,
        handle: (...args) => this.#client(...args),
      },
      {
        name: "tailnet",
        upgradeOnly: true,
        match: ({ pathname }) => pathname === "/api/v2/tailnet",
        handle: (...args) => this.#client(...args),
      },
      {
        name: "agent rpc",
        upgradeOnly: true,
        match: ({ pathname }) => pathname === "/api/v2/workspaceagents/me/rpc",
        handle: (...args) => this.#agent(...args),
      },
      legacyMapRoute({
        ...options,
        relayMap: () => this.relayMap(),
        onChange: (listener) => options.relayMaps.onChange(listener),
        throwRefusal: () => this.throwRefusal(),
      }),
    ];
    this.#stopEvents = options.accessEvents.subscribe((event) => {
      for (const open of this.#open) if (open.auth.endedBy(event)) open.end(ACCESS_REVOKED);
      this.coordinator.revoke((auth) => auth.endedBy(event), ACCESS_REVOKED, options.clock.now());
      if (event.kind === "browser-only") this.#leaveToBrowsers(event);
    });
    this.#timer = setInterval(() => {
      this.coordinator.sweep(options.clock.now());
      this.#contests.sweep(options.clock.now());
    }, SWEEP_MS);
    this.#timer.unref();
    this.#telemetry = new Counter({
      name: "coder_tailnet_telemetry_events_total",
      help: "Connection events that clients and agents reported",
      labelNames: ["status"],
      registers: [options.metrics],
    });
    controlMetrics(options.metrics, {
      coordinator: this.coordinator,
      reports: this.#reports,
      openSockets: () => this.#open.size,
    });
  }

  /** From here on the gate is informed of the keys that peers announce and give up. */
  guard(gate: RelayGate): void {
    this.#gates.push(gate);
  }

  /** From here on other servers are informed of this one's peers. */
  joinCluster(recorder: CoordinatorRecorder): void {
    this.#recorder = recorder;
  }

  /** Whether a peer has this key. */
  knowsKey(publicKey: Uint8Array): boolean {
    return this.coordinator.knowsKey(publicKey, this.#options.clock.now());
  }

  /** Whether a peer has this key, or announces it within `waitMs`. */
  async admitsKey(publicKey: Uint8Array, waitMs: number): Promise<boolean> {
    return this.knowsKey(publicKey) || (await this.#keyWaits.wait(publicKey, waitMs));
  }

  /** Body of GET /workspaceagents/{id}/connection, the same for every agent. */
  connectionInfo(): ConnectionInfo {
    const { forceWebSockets, blockDirect, hostnameSuffix } = this.#options.settings;
    return {
      derp_map: derpMapToJson(this.relayMap()),
      derp_force_websockets: forceWebSockets,
      disable_direct_connections: blockDirect,
      hostname_suffix: hostnameSuffix || undefined,
    };
  }

  /** The map that clients and agents are given. */
  relayMap(): DerpMap {
    return this.#options.relayMaps.current();
  }

  /** Latencies of a connected agent to each relay region. */
  agentLatency(agentId: string): WorkspaceAgent["latency"] {
    return agentLatency(agentId, this.coordinator, this.relayMap());
  }

  /** How clients reach a connected agent: directly or through a relay. Undefined when it is not connected. */
  agentNetwork(agentId: string): AgentNetwork | undefined {
    return agentNetwork(agentId, this.#debugSources());
  }

  /** Where the agents are that contest one token; undefined when none do. */
  agentContest(agentId: string): readonly string[] | undefined {
    return this.#contests.addresses(agentId, this.#options.clock.now());
  }

  /** For the debug pages, as debugTailnet. Holds addresses of peers: for administrators only. */
  debugCoordinator(): Promise<CoordinatorDebug> {
    return coordinatorDebug(this.#debugSources());
  }

  debugTailnet(): Promise<TailnetDebug> {
    return tailnetDebug(this.#debugSources());
  }

  /** From here on new connections are refused, until `refusal` is undefined for each cause. */
  refuse(cause: "stopping" | "isolated", refusal: (() => DomainError) | undefined): void {
    if (refusal === undefined) this.#refusals.delete(cause);
    else this.#refusals.set(cause, refusal);
  }

  /** Throws the DomainError with which new connections are refused, if they are. */
  throwRefusal(): void {
    if (this.#closing) throw shuttingDown();
    for (const refusal of this.#refusals.values()) throw refusal();
  }

  /** Ends connections whose peers are expected back, here or at another server. */
  release(release: Release): Promise<number> {
    return this.#open.release(release);
  }

  /** Ends every session; idempotent. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#timer);
    this.#stopEvents();
    this.#options.relayMaps.close();
    this.#keyWaits.close();
    await this.#open.release({ reason: RESTARTING, withinMs: 0 });
  }

  /** Ends tunnels that only browsers may have from now on, and the connections that were for one of them alone. */
  #leaveToBrowsers(event: AccessEvent): void {
    const losesTunnel = (auth: PeerAuth, to: string): boolean => auth.losesTunnel?.(event, to) === true;
    this.coordinator.endTunnels(losesTunnel, NON_BROWSER_REFUSED, this.#options.clock.now());
    const ended = [...this.#open].filter(
      ({ auth, onlyAgent }) => onlyAgent !== undefined && losesTunnel(auth, onlyAgent),
    );
    // What the coordinator has just sent leaves first.
    setImmediate(() => {
      for (const open of ended) open.end(NON_BROWSER_REFUSED);
    });
  }

  #debugSources(): DebugSources {
    return {
      coordinator: this.coordinator,
      reports: this.#reports,
      map: this.relayMap(),
      nowMs: this.#options.clock.now(),
      agents: this.#options.store.agents,
      sockets: this.#open.size,
      isPartial: this.#recorder?.hasSiblings === true,
    };
  }

  /** `/workspaceagents/{id}/coordinate` for one agent, `/tailnet` for all that the user may reach. */
  async #client(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.throwRefusal();
    const url = new URL(request.url ?? "/", "http://server");
    const only = agentOfPath(url.pathname);
    if (only !== undefined && this.#options.ownClient.isSender(request))
      return this.#ownClient(request, socket, head, only);
    const identity = await this.#options.authenticator.authenticateUser(request);
    if (identity instanceof DomainError) throw identity;
    const { user } = identity;
    const { authenticator, store, connectionPolicies } = this.#options;
    if (only !== undefined && (!isUuid(only) || (await authenticator.canReachAgent(user, only)) === undefined)) {
      throw notFound();
    }
    requireVersion(url, MISSING_TAILNET_VERSION);
    // The server's tunnels for the pages of this user: what they carry came from a browser.
    const forPages = this.#options.ownClient.isMarked(request);
    const refusal = only === undefined || forPages ? undefined : await connectionPolicies.refusal(user, only);
    if (refusal !== undefined) throw refusal;
    const isBrowser = url.searchParams.get("client") === "browser";
    if (isBrowser) socket.once("close", this.#browserPlaces.take({ userId: user.id }));
    const holder = holderOf(identity, only === undefined ? {} : { agentId: only });
    const resume: ResumeHolder = { kind: "client", ...holder };
    const id = this.resumedPeer(url, resume) ?? randomUUID();
    const sessionId = sessionIdOfBaggage(request.headers["baggage"]?.toString());
    // Rights are looked up at every request: what a user may reach changes while the connection lasts.
    const auth = lookedUpClientAuth(
      async (agentId) => {
        if (only !== undefined && agentId !== only) return "denied";
        const current = await store.users.byId(user.id);
        if (current === undefined || (await authenticator.canReachAgent(current, agentId)) === undefined)
          return "denied";
        if (forPages) return "allowed";
        return (await connectionPolicies.refusal(current, agentId)) === undefined ? "allowed" : "browsers-only";
      },
      {
        holder: `user ${user.id}`,
        userId: forPages ? undefined : user.id,
        endedBy: (event) => endsAccess(event, holder),
        sessionId,
        isBrowser,
      },
    );
    const mayFollow = (ownerId: string): boolean => only === undefined && ownerId === user.id;
    const open = this.#serve(request, socket, head, {
      id,
      auth,
      onlyAgent: only,
      userId: user.id,
      address: this.#options.clientAddress(request),
      services: (deps) => [tailnetService({ id, auth, resume, mayFollow }, deps)],
      pingsSocket: true,
      onClosed: async () => void this.#forget(id),
    });
    // A revocation between the check and now had no listener.
    if (open === undefined) return;
    if (!(await authenticator.stillHolds(holder))) return open.end(ACCESS_REVOKED);
    if (only === undefined || forPages) return;
    const current = await store.users.byId(user.id);
    if (current !== undefined && (await connectionPolicies.refusal(current, only)) !== undefined)
      open.end(NON_BROWSER_REFUSED);
  }

  /** The server's own client, for web apps: what it may dial is decided per request, by the visitor's right. */
  #ownClient(request: IncomingMessage, socket: Duplex, head: Buffer, agentId: string): void {
    const auth = ownClientAuth(agentId);
    const resume: ResumeHolder = { kind: "client", userId: auth.holder, keyId: auth.holder, agentId };
    this.serveClient(request, socket, head, { id: randomUUID(), auth, resume, places: this.#clientPlaces });
  }

  /** The Tailnet service for a client that the caller knows. @returns undefined when the handshake failed. */
  serveClient(request: IncomingMessage, socket: Duplex, head: Buffer, client: KnownClient): OpenSocket | undefined {
    const { id, auth, resume, places } = client;
    return this.#serve(request, socket, head, {
      id,
      auth,
      userId: auth.holder,
      address: this.#options.clientAddress(request),
      places,
      services: (deps) => [tailnetService({ id, auth, resume }, deps)],
      pingsSocket: true,
      onClosed: async () => void this.#forget(id),
    });
  }

  async #agent(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.throwRefusal();
    const url = new URL(request.url ?? "/", "http://server");
    const identity = await this.#options.authenticator.authenticateAgent(request);
    if (identity instanceof DomainError) throw identity;
    requireVersion(url, MISSING_AGENT_VERSION);
    const { agent, owner } = identity;
    const { agentState, authenticator, settings, clock } = this.#options;
    const address = this.#options.clientAddress(request);
    this.#refuseContest(identity, address);
    const auth = agentAuth(agent.id, (event) => endsAgentSession(event, { agentId: agent.id, ownerId: owner.id }));
    const resume: ResumeHolder = {
      kind: "agent",
      userId: owner.id,
      keyId: String(agent.token_generation),
      agentId: agent.id,
    };
    const connectionId = randomUUID();
    let heartbeat: NodeJS.Timeout | undefined;
    const open = this.#serve(request, socket, head, {
      id: agent.id,
      auth,
      userId: owner.id,
      address,
      services: (deps, over) => [
        tailnetService({ id: agent.id, auth, resume }, deps),
        agentService(identity, {
          agentState,
          over,
          declaredApps: this.#options.declaredApps,
          portProxyAddress: settings.portProxyAddress,
          now: () => clock.now(),
          relayMap: () => this.relayMap(),
          disableDirectConnections: settings.blockDirect,
          forceWebSockets: settings.forceWebSockets,
          onConnection: (agentId, connection, type) => this.#connectionLog.reported(agentId, connection, type),
          onStats: (agentId, stats) => this.#reports.stats(agentId, stats, clock.now()),
        }),
      ],
      pingsSocket: false,
      onClosed: async () => {
        clearInterval(heartbeat);
        if (this.#forget(agent.id)) await agentState.disconnected(agent.id, connectionId);
      },
    });
    if (open === undefined) return;
    if ((await authenticator.authenticateAgent(request)) instanceof DomainError) return open.end(ACCESS_REVOKED);
    await agentState.connected(agent.id, url.searchParams.get("version") ?? MISSING_AGENT_VERSION, connectionId);
    heartbeat = setInterval(() => {
      agentState
        .heartbeat(agent.id)
        .catch((error: unknown) => this.#options.log.error({ err: error }, "heartbeat not stored"));
    }, PING_INTERVAL_MS);
  }

  /** Throws DomainError "contested" for an agent when others with its token were connected before, again and again. */
  #refuseContest({ agent, workspace }: AuthenticatedAgent, address: string): void {
    if (this.#open.countOf(agent.id) === 0) return;
    const others = [...this.#open].filter((open) => open.id === agent.id).map((open) => open.address);
    const now = this.#options.clock.now();
    const isNews = this.agentContest(agent.id) === undefined;
    if (this.#contests.mayTakeOver(agent.id, [...others, address], now)) return;
    if (isNews) {
      this.#options.log.warn(
        { workspace: workspace.name, agent: agent.name, agentId: agent.id, addresses: this.agentContest(agent.id) },
        "several agents use one token: the one that is connected stays, the others are refused",
      );
      this.#options.changes.publish({ kind: "workspace", workspaceId: workspace.id });
    }
    const where = [...new Set(others)].join(", ");
    throw new DomainError("contested", "Another agent with the same token is connected.", {
      detail: `It is at ${where}. Stop one of the two, or give this one a workspace and a token of its own.`,
      retryAfterSeconds: 10,
    });
  }

  #serve(request: IncomingMessage, socket: Duplex, head: Buffer, session: SessionPlan): OpenSocket | undefined {
    const agentSockets = session.auth.kind === "agent" ? this.#open.countOf(session.id) : 0;
    this.throwRefusal();
    if (agentSockets >= MAX_SOCKETS_PER_AGENT)
      throw new DomainError("too-many", "Too many connections with this agent's token are open.");
    const places = session.places ?? (session.auth.kind === "agent" ? this.#agentPlaces : this.#clientPlaces);
    socket.once("close", places.take({ userId: session.userId, address: session.address }));
    let open: OpenSocket | undefined;
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      open = this.#run(webSocket, session, watchEnd(webSocket, socket));
    });
    return open;
  }

  #run(webSocket: WebSocket, session: SessionPlan, end: ConnectionEnd): OpenSocket {
    const yamux = new YamuxSession({
      role: "server",
      maxStreams: MAX_STREAMS,
      pingIntervalMs: session.pingsSocket ? undefined : PING_INTERVAL_MS,
      pingTimeoutMs: session.pingsSocket ? undefined : AGENT_PING_TIMEOUT_MS - PING_INTERVAL_MS,
    });
    const unfinished = this.#unfinished.of(session.userId);
    const over = new AbortController();
    serveRpc(yamux, session.services(this.#tailnetDeps(end), over.signal), {
      budget: unfinished.budget,
      onError: (error, path) => this.#options.log.error({ err: error, rpc: path }, "rpc failed"),
    });
    let closeCode = CLOSE_ABNORMAL;
    webSocket.once("close", (code) => {
      closeCode = code;
    });
    const running = runYamux(webSocket, yamux);
    const pings = session.pingsSocket ? setInterval(() => webSocket.ping(), PING_INTERVAL_MS) : undefined;
    let endedFor: string | undefined;
    const open: OpenSocket = {
      id: session.id,
      address: session.address,
      auth: session.auth,
      onlyAgent: session.onlyAgent,
      end: (reason) => {
        endedFor ??= reason;
        this.coordinator.expel(session.id, reason, this.#options.clock.now());
        webSocket.close(CLOSE_INTERNAL_ERROR, Buffer.from(reason).subarray(0, MAX_CLOSE_REASON_BYTES));
        running.close();
      },
      release: (reason, error) => {
        endedFor ??= reason;
        this.coordinator.release(session.id, error);
        // What the coordinator has just sent leaves first.
        setImmediate(() => {
          webSocket.close(CLOSE_GOING_AWAY, reason);
          running.close();
        });
      },
      closed: running.closed.then(async (failure) => {
        clearInterval(pings);
        over.abort();
        const detail = end.byClose ? LOST_BY_CLOSE : (failure?.message ?? "closed");
        this.#connectionLog.clientEnded(session, endedFor, CLEAN_CLOSES.has(closeCode) ? undefined : detail);
        unfinished.leave();
        this.#open.delete(open);
        try {
          await session.onClosed?.();
        } catch (error) {
          this.#options.log.error({ err: error }, "end of a session not stored");
        }
      }),
    };
    this.#open.add(open);
    return open;
  }

  #tailnetDeps(end: ConnectionEnd): TailnetServiceDeps {
    return {
      coordinator: this.coordinator,
      resumeTokens: this.#resumeTokens,
      now: () => this.#options.clock.now(),
      relayMap: () => this.relayMap(),
      onRelayMapChange: (listener) => this.#options.relayMaps.onChange(listener),
      workspaceUpdates: this.#workspaceUpdates,
      endedByClose: () => end.byClose,
      onTelemetry: (peerId, events) => this.#telemetryOf(peerId, events),
    };
  }

  /** Whether no other connection has this id: then what it reported is forgotten. */
  #forget(id: string): boolean {
    if (this.#open.countOf(id) > 0) return false;
    this.#reports.forget(id);
    return true;
  }

  #telemetryOf(peerId: string, events: readonly TelemetryEvent[]): void {
    this.#reports.telemetry(peerId, events, this.#options.clock.now());
    for (const event of events) this.#telemetry.inc({ status: event.status === 0 ? "connected" : "disconnected" });
  }

  /** The peer that a request comes back as; undefined: another one. Throws DomainError "unauthenticated". */
  resumedPeer(url: URL, holder: ResumeHolder): string | undefined {
    const token = url.searchParams.get("resume_token");
    if (token === null || token === "") return undefined;
    const peer = this.#resumeTokens.verify(token, holder, this.#options.clock.now());
    if (peer === "ignored") return undefined;
    if (peer !== undefined) return peer;
    throw new DomainError("unauthenticated", "Invalid resume token", {
      validations: [{ field: "resume_token", detail: "the token is malformed, expired or of another login" }],
    });
  }
}

function agentOfPath(pathname: string): string | undefined {
  return /^\/api\/v2\/workspaceagents\/([^/]+)\/coordinate$/.exec(pathname)?.[1];
}
