import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { HttpBindings } from "@hono/node-server";
import type { ConnectionInfo, WorkspaceAgent } from "coder-protocol/rest/agents";
import type { Hono } from "hono";
import type { Registry } from "prom-client";
import type { DerpMap } from "wg-userspace/derp/map";
import type { AccessEvents } from "../auth/access-events.ts";
import type { Audit } from "../auth/audit.ts";
import type { AuthenticatedUser, Authenticator } from "../auth/authenticator.ts";
import type { Hosts } from "../auth/hosts.ts";
import type { Passwords } from "../auth/passwords.ts";
import type { Sessions } from "../auth/sessions.ts";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { PlaceLimits, Places } from "../base/places.ts";
import type { ServerConfig } from "../config/parse.ts";
import type { AgentNetwork } from "../control/agent-network.ts";
import type { CoordinatorDebug, TailnetDebug } from "../control/debug.ts";
import type { DeploymentIds, Store } from "../db/store.ts";
import type { ProbeKeys } from "../relay/probe-keys.ts";
import type { ServerKeys } from "../state/key-file.ts";
import type { AgentHttp } from "../tunnels/agent-http.ts";
import type { AgentState } from "../workspaces/agent-state.ts";
import type { Changes } from "../workspaces/changes.ts";
import type { WorkspaceService } from "../workspaces/workspace-service.ts";
import type { EventStreams } from "./streams/event-streams.ts";

/** A WebSocket or other upgrade somebody serves. Asked in order; the first that matches handles. */
export interface UpgradeRoute {
  /** For logs and metrics; fixed text. */
  readonly name: string;
  /** Upgrade protocols it speaks, in lower case; "websocket" when absent. Any other is served as if it were not asked for. */
  readonly protocols?: readonly string[];
  /** `url` has the path and query; its host is meaningless. */
  match(url: URL): boolean;
  /**
   * Owns the socket from here on, also after a rejection (use rejectUpgrade). Host has been checked; authentication
   * and Origin have not. A promise that rejects is logged and the socket destroyed.
   */
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void | Promise<void>;
  /** Nothing else is at these paths: a plain request lost its Upgrade header on the way, and is told so. */
  readonly upgradeOnly?: boolean;
}

/** A plain request that is answered outside the REST router, such as a relay's latency probe. */
export interface RequestRoute {
  readonly name: string;
  match(url: URL, method: string): boolean;
  handle(request: IncomingMessage, response: ServerResponse): void | Promise<void>;
}

/** What the coordinator and the agent rpc bring to the server. */
export interface ControlPlane {
  readonly upgradeRoutes: readonly UpgradeRoute[];
  /** Body of GET /workspaceagents/{id}/connection, the same for every agent. */
  connectionInfo(): ConnectionInfo | Promise<ConnectionInfo>;
  /** Latencies of a connected agent to each relay region. */
  agentLatency?(agentId: string): WorkspaceAgent["latency"];
  /** How clients reach a connected agent: directly or through a relay. Undefined when it is not connected. */
  agentNetwork?(agentId: string): AgentNetwork | undefined;
  /** Whether a peer has this key, or announces it within `waitMs`. */
  admitsKey?(publicKey: Uint8Array, waitMs: number): Promise<boolean>;
  /** Where agents are that fight over one token; undefined when none do. */
  agentContest?(agentId: string): readonly string[] | undefined;
  /** The map that clients and agents are given. */
  relayMap?(): DerpMap;
  /** What the debug pages show. Holds addresses of peers: for administrators only. */
  debugCoordinator?(): Promise<CoordinatorDebug>;
  debugTailnet?(): Promise<TailnetDebug>;
  /** Ends every session; idempotent. */
  close(): Promise<void>;
}

/** What the embedded relay brings to the server. */
export interface EmbeddedRelay {
  readonly upgradeRoutes: readonly UpgradeRoute[];
  readonly requestRoutes: readonly RequestRoute[];
  close(): Promise<void>;
}

/** A running STUN server. */
export interface StunPart {
  /** UDP port it is bound to. */
  readonly port: number;
  close(): Promise<void>;
}

/** Bounds of every request. Bytes and milliseconds. */
export interface HttpLimits {
  readonly headerBytes: number;
  readonly urlLength: number;
  readonly bodyBytes: number;
  /** Body of PATCH …/me/logs. */
  readonly logBodyBytes: number;
  /** From the first byte of a connection or request to the end of its headers. */
  readonly headersTimeoutMs: number;
  /** To the end of the whole request. */
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** How often Node looks for connections over those times. */
  readonly connectionsCheckMs: number;
  /** How often an open WebSocket is pinged, by a frame of its protocol. */
  readonly heartbeatMs: number;
  /** How often an open event stream is pinged and the access of any follower looked at again, besides the events. */
  readonly recheckMs: number;
  /** How often watchers of metadata get it again: clients show its age and give up on a silent stream. */
  readonly repeatMetadataMs: number;
  /** WebSockets of this module (watch, logs). */
  readonly webSockets: PlaceLimits;
  readonly eventStreams: PlaceLimits;
  readonly terminals: PlaceLimits;
  /** Control connections of clients. */
  readonly clientSockets: PlaceLimits;
  /** Control connections of agents; the user is the owner. An agent's own share is MAX_SOCKETS_PER_AGENT. */
  readonly agentSockets: PlaceLimits;
  /** Followers of the relay map alone, who need no login. */
  readonly mapSockets: PlaceLimits;
  /** Requests that are being answered. */
  readonly requests: PlaceLimits;
  /** Executables that are on their way to somebody. */
  readonly downloads: PlaceLimits;
}

export const DEFAULT_LIMITS: HttpLimits = {
  headerBytes: 16 * 1024,
  urlLength: 8 * 1024,
  bodyBytes: 256 * 1024,
  logBodyBytes: 4 * 1024 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 70_000,
  connectionsCheckMs: 5_000,
  heartbeatMs: 15_000,
  recheckMs: 15_000,
  repeatMetadataMs: 5_000,
  webSockets: { total: 5_000, perUser: 500, perAddress: 1_250 },
  eventStreams: { total: 5_000, perUser: 500, perAddress: 1_250 },
  terminals: { total: 512, perUser: 64, perAddress: 128 },
  clientSockets: { total: 10_000, perUser: 256, perAddress: 2_500 },
  agentSockets: { total: 20_000, perUser: 5_000 },
  mapSockets: { total: 500, perAddress: 16 },
  requests: { total: 4_096, perUser: 256, perAddress: 1_024 },
  downloads: { total: 128, perAddress: 32 },
};

/** Everything a part of the server may use. Made once by createServer. */
export interface ServerContext {
  readonly config: ServerConfig;
  /** Where clients and agents reach us; final once the server listens. */
  accessUrl(): URL;
  readonly store: Store;
  readonly keys: ServerKeys;
  readonly deployment: DeploymentIds;
  readonly passwords: Passwords;
  readonly sessions: Sessions;
  readonly audit: Audit;
  readonly authenticator: Authenticator;
  readonly accessEvents: AccessEvents;
  readonly changes: Changes;
  readonly agentState: AgentState;
  readonly workspaces: WorkspaceService;
  readonly hosts: Hosts;
  readonly clock: WallClock;
  readonly log: Logger;
  readonly metrics: Registry;
  /** Keys of our own checks, which the relay lets in. */
  readonly probeKeys: ProbeKeys;
  /** Port of our own STUN server; undefined while there is none. Final once the server listens. */
  stunPort(): number | undefined;
  readonly limits: HttpLimits;
  /** The client's address; behind a trusted proxy the one that it names. */
  clientAddress(request: IncomingMessage): string;
}

/** The context plus the parts that were built from it: what the REST routes see. */
export interface RouteContext extends ServerContext {
  controlPlane(): ControlPlane | undefined;
  relay(): EmbeddedRelay | undefined;
  readonly eventStreams: EventStreams;
  readonly agentHttp: AgentHttp;
  /** Requests that are being answered, by user. */
  readonly requestsOfUsers: Places;
}

export interface HttpEnv {
  Bindings: HttpBindings;
  Variables: { auth: AuthenticatedUser };
}

export type Router = Hono<HttpEnv>;
