/**
 * The control plane of one server: joins coordinator, control connections, services and relays, and answers questions about them.
 */
import type { IncomingMessage } from "node:http";
import { NON_BROWSER_REFUSED } from "coder-protocol/browser-only";
import type { TelemetryEvent } from "coder-protocol/gen/tailnet_pb.js";
import type { ConnectionInfo, WorkspaceAgent } from "coder-protocol/rest/agents";
import { Counter, type Registry } from "prom-client";
import { type DerpMap, derpMapToJson } from "wg-userspace/derp/map";
import type { AccessEvent, AccessEvents } from "../auth/access-events.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { OwnClient } from "../auth/own-client.ts";
import type { WallClock } from "../base/clock.ts";
import type { DomainError } from "../base/domain-error.ts";
import type { Logger } from "../base/log.ts";
import type { OpenStreams } from "../base/open-streams.ts";
import type { PlaceLimits } from "../base/places.ts";
import type { UpgradeRoute } from "../base/routes.ts";
import type { Store } from "../db/store.ts";
import type { AgentState } from "../workspaces/agent-state.ts";
import type { Changes } from "../workspaces/changes.ts";
import type { ConnectionPolicies } from "../workspaces/connection-policies.ts";
import type { DeclaredApps } from "../workspaces/declared-apps.ts";
import { type AgentNetwork, agentLatency, agentNetwork } from "./agent-network.ts";
import { AgentSessions } from "./agent-sessions.ts";
import { ClientSessions } from "./client-sessions.ts";
import { ConnectionLog } from "./connection-log.ts";
import { controlMetrics } from "./control-metrics.ts";
import type { ControlSettings } from "./control-settings.ts";
import { ControlSockets } from "./control-sockets.ts";
import { Coordinator } from "./coordinator.ts";
import { type CoordinatorRecorder, MOVED } from "./coordinator-records.ts";
import {
  type CoordinatorDebug,
  coordinatorDebug,
  type DebugSources,
  type TailnetDebug,
  tailnetDebug,
} from "./debug.ts";
import { KeyWaits } from "./key-waits.ts";
import { legacyMapRoute } from "./legacy-map-route.ts";
import { LostPeers } from "./lost-peers.ts";
import { onceDatabaseAnswers } from "./once-database-answers.ts";
import { ACCESS_REVOKED, type Release } from "./open-socket.ts";
import type { PeerAuth } from "./peer-auth.ts";
import { PeerReports } from "./peer-reports.ts";
import type { RelayMaps } from "./relay-map.ts";
import { ResumeTokens } from "./resume-token.ts";
import { SealedRights } from "./sealed-rights.ts";
import { WorkspaceUpdates } from "./workspace-updates.ts";

const SWEEP_MS = 60_000;

/** Tells relays which keys they may serve. */
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
  /** Signs resume tokens. */
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
  readonly clients: ClientSessions;
  readonly rights: SealedRights;
  readonly lostPeers: LostPeers;
  readonly #agents: AgentSessions;
  readonly #sockets: ControlSockets;
  readonly #options: ControlPlaneOptions;
  readonly #reports = new PeerReports();
  readonly #timer: NodeJS.Timeout;
  readonly #stopEvents: () => void;
  readonly #telemetry: Counter<"status">;
  readonly #keyWaits = new KeyWaits();
  readonly #gates: RelayGate[] = [];
  #recorder: CoordinatorRecorder | undefined;
  /** Ends what waits for the database on behalf of the whole control plane. */
  readonly #over = new AbortController();
  #closing = false;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    this.coordinator = this.#newCoordinator();
    this.rights = new SealedRights(options.signingKey);
    this.lostPeers = new LostPeers({ ...options, coordinator: this.coordinator, rights: this.rights });
    const { relayMaps, clock } = options;
    const { coordinator } = this;
    const reports = this.#reports;
    const relayMap = (): DerpMap => this.relayMap();
    const resumeTokens = new ResumeTokens(options.signingKey);
    const connectionLog = new ConnectionLog(this.coordinator, options.log);
    const onRelayMapChange = (listener: () => void): (() => void) => relayMaps.onChange(listener);
    const sockets = new ControlSockets({
      tailnet: {
        coordinator: this.coordinator,
        resumeTokens,
        now: () => clock.now(),
        relayMap,
        onRelayMapChange,
        workspaceUpdates: new WorkspaceUpdates(options.store, options.changes),
        lostPeersOf: (peerId, over) => this.lostPeers.statements(peerId, over),
        onTelemetry: (peerId, events) => this.#telemetryOf(peerId, events),
      },
      connectionLog,
      limits: options.limits,
      log: options.log,
    });
    this.#sockets = sockets;
    this.clients = new ClientSessions({
      ...options,
      sockets,
      resumeTokens,
      rights: this.rights,
      reports,
      lookups: options.store.lookups,
    });
    this.#agents = new AgentSessions({ ...options, coordinator, sockets, connectionLog, reports, relayMap });
    this.upgradeRoutes = [
      ...this.clients.routes,
      this.#agents.route,
      legacyMapRoute({
        ...options,
        relayMap,
        onChange: onRelayMapChange,
        throwRefusal: () => sockets.throwRefusal(),
      }),
    ];
    this.#stopEvents = options.accessEvents.subscribe((event) => this.#accessEnds(event));
    this.#timer = setInterval(() => {
      this.coordinator.sweep(clock.now());
      this.#agents.sweep();
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
      reports,
      openSockets: () => sockets.open.size,
    });
  }

  /** From now on the gate is informed of keys that peers announce and give up. */
  guard(gate: RelayGate): void {
    this.#gates.push(gate);
  }

  /** From now on other servers are informed of this server's peers. */
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

  /** Body of GET /workspaceagents/{id}/connection; the same for every agent. */
  connectionInfo(): ConnectionInfo {
    const { forceWebSockets, blockDirect, hostnameSuffix } = this.#options.settings;
    return {
      derp_map: derpMapToJson(this.relayMap()),
      derp_force_websockets: forceWebSockets,
      disable_direct_connections: blockDirect,
      hostname_suffix: hostnameSuffix || undefined,
    };
  }

  /** The map that clients and agents receive. */
  relayMap(): DerpMap {
    return this.#options.relayMaps.current();
  }

  /** Latencies from a connected agent to each relay region. */
  agentLatency(agentId: string): WorkspaceAgent["latency"] {
    return agentLatency(agentId, this.coordinator, this.relayMap());
  }

  /** How clients reach a connected agent: directly or through a relay. Undefined if the agent is not connected. */
  agentNetwork(agentId: string): AgentNetwork | undefined {
    return agentNetwork(agentId, this.#debugSources());
  }

  /** The addresses of the agents that compete for one token; undefined if there is no contest. */
  agentContest(agentId: string): readonly string[] | undefined {
    return this.#agents.contest(agentId);
  }

  /** For the debug pages; see debugTailnet. Contains addresses of peers, so it is for administrators only. */
  debugCoordinator(): Promise<CoordinatorDebug> {
    return coordinatorDebug(this.#debugSources());
  }

  debugTailnet(): Promise<TailnetDebug> {
    return tailnetDebug(this.#debugSources());
  }

  /** Refuses new connections for this cause, until it is called with an undefined `refusal`. */
  refuse(cause: "stopping" | "isolated", refusal: (() => DomainError) | undefined): void {
    this.#sockets.refuse(cause, refusal);
  }

  /** Throws the DomainError that refuses new connections, if there is a refusal. */
  throwRefusal(): void {
    this.#sockets.throwRefusal();
  }

  /** Ends connections whose peers are expected to return, here or at another server. */
  release(release: Release): Promise<number> {
    return this.#sockets.release(release);
  }

  /** Ends every session; idempotent. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#timer);
    this.#over.abort();
    this.#stopEvents();
    this.#options.relayMaps.close();
    this.#keyWaits.close();
    await this.#sockets.close();
  }

  #newCoordinator(): Coordinator {
    return new Coordinator({
      onKey: (key) => {
        for (const gate of this.#gates) gate.admitHeld(key);
        this.#keyWaits.came(key);
      },
      onKeyGone: (key) => {
        for (const gate of this.#gates) gate.revoke(key);
      },
      onRecord: (record) => {
        this.#recorder?.record(record);
        if (record.kind === "gone" && record.reason === MOVED) this.#agents.takenOver(record.id);
      },
    });
  }

  #accessEnds(event: AccessEvent): void {
    for (const open of this.#sockets.open) if (open.auth.endedBy(event)) open.end(ACCESS_REVOKED);
    this.coordinator.revoke((auth) => auth.endedBy(event), ACCESS_REVOKED, this.#options.clock.now());
    if (event.kind !== "browser-only") return;
    if (event.everyone === true) void this.#leaveAllToBrowsers(event);
    else this.#leaveToBrowsers(event, new Set());
  }

  /** Uses the rule that is stored when it reads it, which may have changed again since the event. */
  async #leaveAllToBrowsers(event: AccessEvent): Promise<void> {
    const { connectionPolicies, log } = this.#options;
    try {
      const exempt = await onceDatabaseAnswers(() => connectionPolicies.exemptAgents(), this.#over.signal);
      if (exempt !== undefined) this.#leaveToBrowsers(event, exempt);
    } catch (error) {
      if (this.#over.signal.aborted) return;
      log.error({ err: error }, "which workspaces any client may connect to is not known: all tunnels of clients end");
      this.#leaveToBrowsers(event, new Set());
    }
  }

  /** Ends tunnels that only browsers may have from now on, and connections that served only such a tunnel. */
  #leaveToBrowsers(event: AccessEvent, exempt: ReadonlySet<string>): void {
    const losesTunnel = (auth: PeerAuth, to: string): boolean =>
      !exempt.has(to) && auth.losesTunnel?.(event, to) === true;
    this.coordinator.endTunnels(losesTunnel, NON_BROWSER_REFUSED, this.#options.clock.now());
    const ended = [...this.#sockets.open].filter(
      ({ auth, onlyAgent }) => onlyAgent !== undefined && losesTunnel(auth, onlyAgent),
    );
    // What the coordinator has just sent must leave first.
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
      sockets: this.#sockets.open.size,
      isPartial: this.#recorder?.hasSiblings === true,
    };
  }

  #telemetryOf(peerId: string, events: readonly TelemetryEvent[]): void {
    this.#reports.telemetry(peerId, events, this.#options.clock.now());
    for (const event of events) this.#telemetry.inc({ status: event.status === 0 ? "connected" : "disconnected" });
  }
}
