import type { PlaceLimits } from "../base/places.ts";

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
  /** Longest wait for answers and streams under way when the server closes; what is left is cut off. */
  readonly closeGraceMs: number;
  /** How often Node looks for connections over those times. */
  readonly connectionsCheckMs: number;
  /** How often an open WebSocket is pinged, by a frame of its protocol. */
  readonly heartbeatMs: number;
  /** How often an open event stream is pinged and the access of every follower is checked, besides the events. */
  readonly recheckMs: number;
  /** How often metadata is sent again to its watchers: clients show its age and give up on a silent stream. */
  readonly repeatMetadataMs: number;
  /** WebSockets of the REST surface: watch, logs. */
  readonly webSockets: PlaceLimits;
  readonly eventStreams: PlaceLimits;
  /** Streams of dashboards: one of each browser. */
  readonly dashboards: PlaceLimits;
  readonly terminals: PlaceLimits;
  /** Files that are being uploaded or downloaded. */
  readonly files: PlaceLimits;
  /** Control connections of clients. */
  readonly clientSockets: PlaceLimits;
  /** Control connections of agents; the user is the owner. An agent's own share is MAX_SOCKETS_PER_AGENT. */
  readonly agentSockets: PlaceLimits;
  /** Followers of the relay map alone: no login is needed for it. */
  readonly mapSockets: PlaceLimits;
  /** Workspace proxies that follow the relay keys; the user is the proxy. Twice the processes that one may have. */
  readonly proxyStreams: PlaceLimits;
  /**
   * Control connections of workspace proxies; the user is the proxy. Each of its processes has one for each agent, and the
   * tunnels of one process are limited (tunnels/agent-tunnels.ts). What a few proxies take leaves room for all others.
   */
  readonly proxySockets: PlaceLimits;
  /**
   * Requests that are being answered: by address and in total those whose sender is not known, and as many of users, and of
   * agents.
   */
  readonly requests: PlaceLimits;
  /** Of workspace proxies; the user is the proxy. Each of its processes asks about the apps of many visitors. */
  readonly proxyRequests: PlaceLimits;
  /** Executables that are being sent. */
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
  terminals: { total: 512, perUser: 64, perAddress: 128 },
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
