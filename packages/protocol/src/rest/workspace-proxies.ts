/**
 * Workspace proxies: relays of a deployment, and ways to its web apps, near its users. The owner's routes are
 * `/api/v2/workspaceproxies`; those of a proxy itself are `/api/v2/workspaceproxies/me/*` and take its own token in
 * {@link PROXY_TOKEN_HEADER}. Fields that stock deployments and proxies do not have are optional here.
 */
import { z } from "zod";
import { proxyNameFault } from "../proxy-names.ts";
import { timestamp, uuid } from "./common.ts";
import { replica } from "./deployment.ts";

/** Header that carries a proxy's token. No other route takes such a token, and the routes of a proxy take no other. */
export const PROXY_TOKEN_HEADER = "Coder-External-Proxy-Token";
/** `<proxy id>:<secret>`. */
export const PROXY_TOKEN_PATTERN = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{64}$/;

/** Routes of a proxy. */
export const PROXY_REGISTER_PATH = "/api/v2/workspaceproxies/me/register";
export const PROXY_DEREGISTER_PATH = "/api/v2/workspaceproxies/me/deregister";
/** WebSocket; each text message is a {@link relayKeysMessage}. */
export const PROXY_RELAY_KEYS_PATH = "/api/v2/workspaceproxies/me/relay-keys";

/** The display name is also the name of a region in the relay map. */
const MAX_DISPLAY_NAME_LENGTH = 128;
const MAX_URL_LENGTH = 2_048;
const MAX_HOST_LENGTH = 253;
const MAX_TEXT_LENGTH = 256;

/** What a proxy reports of itself at `/healthz-report`, and what the deployment found out about it. */
export const proxyHealthReport = z.object({
  errors: z
    .array(z.string())
    .nullish()
    .transform((errors) => errors ?? []),
  warnings: z
    .array(z.string())
    .nullish()
    .transform((warnings) => warnings ?? []),
});
export type ProxyHealthReport = z.infer<typeof proxyHealthReport>;

export const proxyStatus = z.enum(["ok", "unregistered", "unreachable", "unhealthy"]);
export type ProxyStatus = z.infer<typeof proxyStatus>;

/** A region with the fields that only owners see. */
export const workspaceProxy = z.object({
  id: uuid,
  name: z.string(),
  display_name: z.string(),
  icon_url: z.string(),
  healthy: z.boolean(),
  /** Its access URL; "" until it has registered. */
  path_app_url: z.string(),
  wildcard_hostname: z.string(),
  derp_enabled: z.boolean(),
  derp_only: z.boolean(),
  created_at: timestamp,
  updated_at: timestamp,
  deleted: z.boolean(),
  version: z.string(),
  status: z.object({ status: proxyStatus, report: proxyHealthReport, checked_at: timestamp }),
});
export type WorkspaceProxy = z.infer<typeof workspaceProxy>;

export const workspaceProxiesResponse = z.object({ regions: z.array(workspaceProxy) });
export type WorkspaceProxiesResponse = z.infer<typeof workspaceProxiesResponse>;

export const createWorkspaceProxyRequest = z.object({
  name: z.string().superRefine((name, context) => {
    const message = proxyNameFault(name);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  }),
  display_name: z.string().max(MAX_DISPLAY_NAME_LENGTH).optional(),
  icon: z.string().max(MAX_URL_LENGTH).optional(),
});

/** Empty and missing fields leave the proxy as it is, except that an empty wildcard_hostname clears that field. */
export const patchWorkspaceProxyRequest = z.object({
  id: z.string().max(64).optional(),
  name: createWorkspaceProxyRequest.shape.name.or(z.literal("")).optional(),
  display_name: z.string().max(MAX_DISPLAY_NAME_LENGTH).optional(),
  icon: z.string().max(MAX_URL_LENGTH).optional(),
  /** Our addition. A running proxy cannot move to another address on its own while its present one answers. */
  access_url: z.string().max(MAX_URL_LENGTH).optional(),
  /** Our addition, like access_url; "" clears it. */
  wildcard_hostname: z.string().max(MAX_HOST_LENGTH).optional(),
  regenerate_token: z.boolean().optional(),
});
export type PatchWorkspaceProxyRequest = z.infer<typeof patchWorkspaceProxyRequest>;

/** Only this answer shows `proxy_token`; it is "" where none was made. */
export const updateWorkspaceProxyResponse = z.object({ proxy: workspaceProxy, proxy_token: z.string() });
export type UpdateWorkspaceProxyResponse = z.infer<typeof updateWorkspaceProxyResponse>;

/** What a running process of a proxy states about itself, at its start and every `refresh_ms` from then on. */
export const registerProxyRequest = z.object({
  /** http(s), without a path. */
  access_url: z.string().max(MAX_URL_LENGTH),
  /** `*.apps.example.com`, or "". */
  wildcard_hostname: z.string().max(MAX_HOST_LENGTH).default(""),
  derp_enabled: z.boolean(),
  derp_only: z.boolean(),
  /** Our addition: whether it serves apps below paths of its access URL. */
  path_apps: z.boolean().optional(),
  /** Differs at every start of the process. */
  replica_id: z.string().max(64),
  hostname: z.string().max(MAX_TEXT_LENGTH).default(""),
  /** What is wrong with the connections to its siblings; "" for nothing. */
  replica_error: z.string().max(4_096).default(""),
  /** Where its siblings reach its relay; "" for nowhere. */
  replica_relay_address: z.string().max(MAX_URL_LENGTH).default(""),
  version: z.string().max(MAX_TEXT_LENGTH).default(""),
  /** Our addition: UDP port of the proxy's own STUN server at the host of its access URL; missing or 0 for none. */
  stun_port: z.number().int().min(0).max(65_535).optional(),
});
export type RegisterProxyRequest = z.input<typeof registerProxyRequest>;

export const registerProxyResponse = z.object({
  /** Hex; of this proxy alone. "" for a proxy without a relay. */
  derp_mesh_key: z.string().max(256),
  derp_region_id: z.number().int(),
  /** Tailscale's JSON form of a relay map. */
  derp_map: z.unknown(),
  derp_force_websockets: z.boolean(),
  /** Our addition: tunnels of the proxy are relayed, as everything of the deployment is. */
  disable_direct_connections: z.boolean().optional(),
  /** Our addition: the time of day of the primary. */
  time: timestamp.optional(),
  /** The other running processes of this proxy. */
  sibling_replicas: z
    .array(replica)
    .nullish()
    .transform((siblings) => siblings ?? []),
  /** For old stock proxies; empty here. */
  app_security_key: z.string().optional(),
  /** Our addition: "stream" when {@link PROXY_RELAY_KEYS_PATH} says which keys may use the relay. */
  admission: z.string().optional(),
  /** Our addition: after this time the proxy registers again. */
  refresh_ms: z.number().int().positive().optional(),
});
export type RegisterProxyResponse = z.infer<typeof registerProxyResponse>;

export const deregisterProxyRequest = z.object({ replica_id: z.string().max(64) });

/** Keys in one message; a larger set takes several. */
export const MAX_RELAY_KEYS_PER_MESSAGE = 4_096;

/**
 * Node keys, in hex, that may use the relay. The first message of a connection has `snapshot`: its keys, with those of the
 * messages up to the first one without `more`, replace all that was known before. Later messages change that set: first `remove`,
 * then `add`. There are no sequence numbers: a proxy that lost the connection opens a new one and receives the whole set.
 */
export const relayKeysMessage = z.object({
  snapshot: z.boolean().optional(),
  more: z.boolean().optional(),
  add: z.array(z.string().length(64)).max(MAX_RELAY_KEYS_PER_MESSAGE).default([]),
  remove: z.array(z.string().length(64)).max(MAX_RELAY_KEYS_PER_MESSAGE).default([]),
});
export type RelayKeysMessage = z.input<typeof relayKeysMessage>;
