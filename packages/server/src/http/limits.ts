import type { PlaceLimits } from "../base/places.ts";

/** Limits of every request, in bytes and milliseconds. */
export interface HttpLimits {
  readonly headerBytes: number;
  readonly urlLength: number;
  readonly bodyBytes: number;
  /** Body of PATCH …/me/logs. */
  readonly logBodyBytes: number;
  /** From the first byte of a connection or request to the end of the headers. */
  readonly headersTimeoutMs: number;
  /** To the end of the whole request. */
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** Maximum wait for answers and streams in progress when the server closes; what remains is destroyed. */
  readonly closeGraceMs: number;
  /** How often Node checks connections against these limits. */
  readonly connectionsCheckMs: number;
  /** How often an open WebSocket is pinged, by a frame of its protocol. */
  readonly heartbeatMs: number;
  /** How often an open event stream is pinged and the access of every follower is checked, in addition to the events. */
  readonly recheckMs: number;
  /** How often metadata is sent again to its watchers, because clients show its age and give up on a silent stream. */
  readonly repeatMetadataMs: number;
  /** WebSockets of the REST API: watch, logs. */
  readonly webSockets: PlaceLimits;
  readonly eventStreams: PlaceLimits;
  /** Streams of dashboards; each browser has one. */
  readonly dashboards: PlaceLimits;
  readonly terminals: PlaceLimits;
  /** Files being uploaded or downloaded. */
  readonly files: PlaceLimits;
  /** Control connections of clients. */
  readonly clientSockets: PlaceLimits;
  /** Control connections of agents, counted to the agent's owner. The limit for a single agent is MAX_SOCKETS_PER_AGENT. */
  readonly agentSockets: PlaceLimits;
  /** Followers that receive only the relay map, for which no login is needed. */
  readonly mapSockets: PlaceLimits;
  /** Workspace proxies that follow the relay keys, counted to the proxy. Twice the number of processes that one may have. */
  readonly proxyStreams: PlaceLimits;
  /**
   * Control connections of workspace proxies, counted to the proxy. Each of its processes has one for each agent, and the tunnels
   * of one process are limited (tunnels/agent-tunnels.ts). A few proxies leave room for all others.
   */
  readonly proxySockets: PlaceLimits;
  /** Requests being answered: those of unknown senders by address and in total, and as many again of users and of agents. */
  readonly requests: PlaceLimits;
  /** Requests of workspace proxies, counted to the proxy. Each of its processes asks about the apps of many visitors. */
  readonly proxyRequests: PlaceLimits;
  /** Executables being sent. */
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
  closeGraceMs: 5_000,
  connectionsCheckMs: 5_000,
  heartbeatMs: 15_000,
  recheckMs: 15_000,
  repeatMetadataMs: 5_000,
  webSockets: { total: 5_000, perUser: 500, perAddress: 1_250 },
  eventStreams: { total: 5_000, perUser: 500, perAddress: 1_250 },
  dashboards: { total: 5_000, perUser: 5, perAddress: 1_250 },
  terminals: { total: 512, perUser: 64, perAddress: 128, perWorkspace: 128 },
  files: { total: 128, perUser: 16, perAddress: 32 },
  clientSockets: { total: 10_000, perUser: 256, perAddress: 2_500 },
  agentSockets: { total: 20_000, perUser: 5_000 },
  mapSockets: { total: 500, perAddress: 16 },
  proxyStreams: { total: 2_048, perUser: 64 },
  proxySockets: { total: 65_536, perUser: 1_024 },
  requests: { total: 4_096, perUser: 256, perAddress: 1_024 },
  proxyRequests: { total: 4_096, perUser: 1_024 },
  downloads: { total: 128, perAddress: 32 },
};
