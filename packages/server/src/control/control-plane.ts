/** The control WebSockets: who may open one, as which peer, and for how long. Joins coordinator, services and relay. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { runYamux } from "coder-client/yamux-websocket";
import { type RpcServiceImpl, serveRpc } from "coder-protocol/drpc/async";
import type { Stats } from "coder-protocol/gen/agent_pb.js";
import type { TelemetryEvent } from "coder-protocol/gen/tailnet_pb.js";
import type { ConnectionInfo } from "coder-protocol/rest/agents";
import { checkVersion, MISSING_AGENT_VERSION, MISSING_TAILNET_VERSION } from "coder-protocol/version";
import { YamuxSession } from "coder-protocol/yamux/session";
import { Counter, Gauge } from "prom-client";
import { type DerpMap, derpMapToJson } from "wg-userspace/derp/map";
import { type WebSocket, WebSocketServer } from "ws";
import { endsAccess, endsAgentSession } from "../auth/access-events.ts";
import { holderOf } from "../auth/authenticator.ts";
import { HttpFailure, notFound } from "../errors.ts";
import type { ControlPlane, ServerContext, UpgradeRoute } from "../http/context.ts";
import { isUuid, rejectUpgrade } from "../http/reply.ts";
import { agentService } from "./agent-service.ts";
import { Coordinator } from "./coordinator.ts";
import { agentAuth, clientAuth, type PeerAuth } from "./peer-auth.ts";
import { deploymentRelayMap } from "./relay-map.ts";
import { ResumeTokens } from "./resume-token.ts";
import { type TailnetServiceDeps, tailnetService } from "./tailnet-service.ts";

/** An agent's control message is at most 4 MiB; a WebSocket message may hold several. */
const MAX_PAYLOAD_BYTES = 8 * 1024 * 1024;
const PING_INTERVAL_MS = 15_000;
/** An agent that answered no ping for this long is gone. */
const AGENT_PING_TIMEOUT_MS = 30_000;
const SWEEP_MS = 60_000;
const CLOSE_INTERNAL_ERROR = 1011;
const MAX_CLOSE_REASON_BYTES = 123;
const MAX_SOCKETS = 20_000;

/** What the relay is told about keys. */
export interface RelayGate {
  admitHeld(publicKey: Uint8Array): void;
  revoke(publicKey: Uint8Array): number;
}

export interface AgentReport {
  readonly stats: Stats;
  readonly at: number;
}

export class CoordinatingControlPlane implements ControlPlane {
  readonly upgradeRoutes: readonly UpgradeRoute[];
  readonly coordinator: Coordinator;
  readonly #context: ServerContext;
  readonly #resumeTokens: ResumeTokens;
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_PAYLOAD_BYTES });
  readonly #open = new Set<OpenSocket>();
  readonly #stats = new Map<string, AgentReport>();
  readonly #mapListeners = new Set<() => void>();
  readonly #timer: NodeJS.Timeout;
  readonly #stopEvents: () => void;
  readonly #telemetry: Counter<"status">;
  #relayMap: DerpMap | undefined;
  #gate: RelayGate | undefined;
  #closing = false;

  constructor(context: ServerContext) {
    this.#context = context;
    this.#resumeTokens = new ResumeTokens(context.keys.signing);
    // An unusable map ends the start, rather than the first connection. The final one is built when the address is known.
    deploymentRelayMap(context.config.derp, context.accessUrl());
    this.coordinator = new Coordinator({
      onKey: (key) => this.#gate?.admitHeld(key),
      onKeyGone: (key) => this.#gate?.revoke(key),
    });
    this.upgradeRoutes = [
      {
        name: "coordinate",
        match: ({ pathname }) => agentOfPath(pathname) !== undefined,
        handle: (...args) => this.#client(...args),
      },
      {
        name: "tailnet",
        match: ({ pathname }) => pathname === "/api/v2/tailnet",
        handle: (...args) => this.#client(...args),
      },
      {
        name: "agent rpc",
        match: ({ pathname }) => pathname === "/api/v2/workspaceagents/me/rpc",
        handle: (...args) => this.#agent(...args),
      },
      {
        name: "derp map",
        match: ({ pathname }) => pathname === "/api/v2/derp-map",
        handle: (...args) => this.#legacyMap(...args),
      },
    ];
    this.#stopEvents = context.accessEvents.subscribe((event) => {
      for (const open of [...this.#open]) if (open.endedBy(event)) open.end("access revoked");
    });
    this.#timer = setInterval(() => this.coordinator.sweep(context.clock.now()), SWEEP_MS);
    this.#timer.unref();
    this.#telemetry = new Counter({
      name: "coder_tailnet_telemetry_events_total",
      help: "Connection events that clients and agents reported",
      labelNames: ["status"],
      registers: [context.metrics],
    });
    this.#gaugeOf(
      "coder_coordinator_peers",
      "Clients and agents connected to the coordinator",
      () => this.coordinator.peerCount,
    );
    this.#gaugeOf("coder_control_sockets_open", "Open control connections", () => this.#open.size);
  }

  /** The relay that asks this coordinator about keys. */
  guard(gate: RelayGate): void {
    this.#gate = gate;
  }

  connectionInfo(): ConnectionInfo {
    const { config } = this.#context;
    return {
      derp_map: derpMapToJson(this.relayMap()),
      derp_force_websockets: config.derp.forceWebsockets,
      disable_direct_connections: config.derp.blockDirect,
      ...(config.workspaceHostnameSuffix === "" ? {} : { hostname_suffix: config.workspaceHostnameSuffix }),
    };
  }

  relayMap(): DerpMap {
    this.#relayMap ??= deploymentRelayMap(this.#context.config.derp, this.#context.accessUrl());
    return this.#relayMap;
  }

  /** What an agent last reported about its traffic. */
  agentReport(agentId: string): AgentReport | undefined {
    return this.#stats.get(agentId);
  }

  debugCoordinator(): unknown {
    return { peers: this.coordinator.describe(), sockets: this.#open.size };
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#timer);
    this.#stopEvents();
    const closed = [...this.#open].map((open) => open.closed);
    for (const open of [...this.#open]) open.end("server is shutting down");
    await Promise.all(closed);
  }

  #gaugeOf(name: string, help: string, value: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.#context.metrics],
      collect(this: Gauge) {
        this.set(value());
      },
    });
  }

  /** `/workspaceagents/{id}/coordinate` for one agent, `/tailnet` for all that the user may reach. */
  async #client(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const url = new URL(request.url ?? "/", "http://server");
    const only = agentOfPath(url.pathname);
    const identity = await this.#context.authenticator.authenticateUser(request);
    if (identity instanceof HttpFailure) return rejectUpgrade(socket, identity);
    const { user } = identity;
    const { authenticator } = this.#context;
    if (only !== undefined && (!isUuid(only) || (await authenticator.canReachAgent(user, only)) === undefined)) {
      return rejectUpgrade(socket, notFound());
    }
    const refusal = versionFailure(url, MISSING_TAILNET_VERSION);
    if (refusal !== undefined) return rejectUpgrade(socket, refusal);
    const resumed = this.#resumedPeer(url);
    if (resumed instanceof HttpFailure) return rejectUpgrade(socket, resumed);

    const reachable = only === undefined ? await this.#reachableAgents(user.id) : new Set([only]);
    const id = resumed ?? randomUUID();
    const holder = holderOf(identity, only === undefined ? {} : { agentId: only });
    const auth = clientAuth((agentId) => reachable.has(agentId));
    this.#serve(request, socket, head, {
      id,
      services: (deps) => [tailnetService({ id, auth }, deps)],
      endedBy: (event) => endsAccess(event, holder),
      pingsSocket: true,
    });
  }

  async #agent(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const url = new URL(request.url ?? "/", "http://server");
    const identity = await this.#context.authenticator.authenticateAgent(request);
    if (identity instanceof HttpFailure) return rejectUpgrade(socket, identity);
    const refusal = versionFailure(url, MISSING_AGENT_VERSION);
    if (refusal !== undefined) return rejectUpgrade(socket, refusal);
    const { agent } = identity;
    const { agentState, config, clock } = this.#context;
    const auth: PeerAuth = agentAuth(agent.id);
    let heartbeat: NodeJS.Timeout | undefined;
    const open = this.#serve(request, socket, head, {
      id: agent.id,
      services: (deps) => [
        tailnetService({ id: agent.id, auth }, deps),
        agentService(identity, {
          agentState,
          now: () => clock.now(),
          relayMap: () => this.relayMap(),
          disableDirectConnections: config.derp.blockDirect,
          forceWebSockets: config.derp.forceWebsockets,
          onStats: (agentId, stats) => this.#stats.set(agentId, { stats, at: clock.now() }),
        }),
      ],
      endedBy: (event) => endsAgentSession(event, agent.id),
      pingsSocket: false,
      onClosed: async () => {
        clearInterval(heartbeat);
        const replaced = [...this.#open].some((other) => other.id === agent.id);
        if (!replaced) await agentState.disconnected(agent.id);
      },
    });
    if (open === undefined) return;
    await agentState.connected(agent.id, url.searchParams.get("version") ?? MISSING_AGENT_VERSION);
    heartbeat = setInterval(() => {
      agentState
        .heartbeat(agent.id)
        .catch((error: unknown) => this.#context.log.error({ err: error }, "heartbeat not stored"));
    }, PING_INTERVAL_MS);
  }

  async #legacyMap(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const send = (): void => webSocket.send(Buffer.from(JSON.stringify(derpMapToJson(this.relayMap()))));
      send();
      this.#mapListeners.add(send);
      webSocket.on("error", () => webSocket.terminate());
      webSocket.on("close", () => this.#mapListeners.delete(send));
    });
  }

  #serve(request: IncomingMessage, socket: Duplex, head: Buffer, session: SessionPlan): OpenSocket | undefined {
    if (this.#closing || this.#open.size >= MAX_SOCKETS) {
      rejectUpgrade(socket, new HttpFailure(503, "The server takes no more control connections now."));
      return undefined;
    }
    let open: OpenSocket | undefined;
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      open = this.#run(webSocket, session);
    });
    return open;
  }

  #run(webSocket: WebSocket, session: SessionPlan): OpenSocket {
    const yamux = new YamuxSession({
      role: "server",
      ...(session.pingsSocket
        ? {}
        : { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: AGENT_PING_TIMEOUT_MS - PING_INTERVAL_MS }),
    });
    serveRpc(yamux, session.services(this.#tailnetDeps()), {
      onError: (error, path) => this.#context.log.error({ err: error, rpc: path }, "rpc failed"),
    });
    const running = runYamux(webSocket, yamux);
    const pings = session.pingsSocket ? setInterval(() => webSocket.ping(), PING_INTERVAL_MS) : undefined;
    const open: OpenSocket = {
      id: session.id,
      endedBy: session.endedBy,
      end: (reason) => {
        this.coordinator.expel(session.id, reason, this.#context.clock.now());
        webSocket.close(CLOSE_INTERNAL_ERROR, Buffer.from(reason).subarray(0, MAX_CLOSE_REASON_BYTES));
        running.close();
      },
      closed: running.closed.then(async () => {
        clearInterval(pings);
        this.#open.delete(open);
        try {
          await session.onClosed?.();
        } catch (error) {
          this.#context.log.error({ err: error }, "end of a session not stored");
        }
      }),
    };
    this.#open.add(open);
    return open;
  }

  #tailnetDeps(): TailnetServiceDeps {
    return {
      coordinator: this.coordinator,
      resumeTokens: this.#resumeTokens,
      now: () => this.#context.clock.now(),
      relayMap: () => this.relayMap(),
      onRelayMapChange: (listener) => {
        this.#mapListeners.add(listener);
        return () => this.#mapListeners.delete(listener);
      },
      onTelemetry: (_peerId, events) => this.#countTelemetry(events),
    };
  }

  #countTelemetry(events: readonly TelemetryEvent[]): void {
    for (const event of events) this.#telemetry.inc({ status: event.status === 0 ? "connected" : "disconnected" });
  }

  #resumedPeer(url: URL): string | HttpFailure | undefined {
    const token = url.searchParams.get("resume_token");
    if (token === null || token === "") return undefined;
    const peer = this.#resumeTokens.verify(token, this.#context.clock.now());
    if (peer === "ignored") return undefined;
    return (
      peer ??
      new HttpFailure(401, "Invalid resume token", {
        validations: [{ field: "resume_token", detail: "the token is malformed, expired or not this deployment's" }],
      })
    );
  }

  async #reachableAgents(userId: string): Promise<Set<string>> {
    const { store } = this.#context;
    const workspaces = await store.workspaces.list({ ownerId: userId, nameContains: undefined });
    const agents = await Promise.all(workspaces.map((workspace) => store.agents.ofWorkspace(workspace.id)));
    return new Set(agents.flat().map((agent) => agent.id));
  }
}

interface SessionPlan {
  readonly id: string;
  readonly services: (deps: TailnetServiceDeps) => RpcServiceImpl[];
  readonly endedBy: OpenSocket["endedBy"];
  /** Clients are pinged by WebSocket, agents inside yamux. */
  readonly pingsSocket: boolean;
  /** Runs when the connection is over; the server waits for it before it closes its store. */
  readonly onClosed?: () => Promise<void>;
}

interface OpenSocket {
  readonly id: string;
  endedBy(event: Parameters<typeof endsAccess>[0]): boolean;
  end(reason: string): void;
  readonly closed: Promise<void>;
}

function agentOfPath(pathname: string): string | undefined {
  return /^\/api\/v2\/workspaceagents\/([^/]+)\/coordinate$/.exec(pathname)?.[1];
}

function versionFailure(url: URL, missing: string): HttpFailure | undefined {
  const checked = checkVersion(url.searchParams.get("version") ?? missing);
  if (checked.ok) return undefined;
  return new HttpFailure(400, "Unknown or unsupported API version", {
    validations: [{ field: "version", detail: checked.detail }],
  });
}
