/**
 * Apps and terminals that a workspace proxy serves: its requests to the deployment, with its own token. Paths and names are
 * stock's unless a comment names an addition.
 */
import { z } from "zod";
import { shareLevel } from "./apps.ts";
import { timestamp, uuid } from "./common.ts";

/** GET, with the parameter `feature`. */
export const PROXY_CRYPTO_KEYS_PATH = "/api/v2/workspaceproxies/me/crypto-keys";
export const PROXY_ISSUE_APP_TOKEN_PATH = "/api/v2/workspaceproxies/me/issue-signed-app-token";
export const PROXY_APP_STATS_PATH = "/api/v2/workspaceproxies/me/app-stats";
/** WebSocket: the Tailnet service. */
export const PROXY_COORDINATE_PATH = "/api/v2/workspaceproxies/me/coordinate";
/** Our addition: exchanges the ticket of a browser's sign-in for a session at one host of the proxy. */
export const PROXY_REDEEM_TICKET_PATH = "/api/v2/workspaceproxies/me/redeem-app-ticket";
/** For users: a token with which a page opens a terminal at a proxy. */
export const PTY_SIGNED_TOKEN_PATH = "/api/v2/applications/reconnecting-pty-signed-token";
/** Query parameter in which a page passes such a token to the proxy. */
export const SIGNED_APP_TOKEN_PARAMETER = "coder_signed_app_token";

/** Maximum length of a name in a request. No user, workspace, agent or app has a name of this length. */
export const MAX_ASKED_NAME_LENGTH = 256;
const MAX_HOST_LENGTH = 253;
const MAX_URL_LENGTH = 2_048;
const MAX_PATH_LENGTH = 32 * 1_024;
const MAX_TOKEN_LENGTH = 256;
const MAX_STATS = 1_024;

/** `workspace_apps_token` signs app tokens; `workspace_apps_api_key` is for what a proxy seals for itself. */
export const cryptoKeyFeature = z.enum(["workspace_apps_token", "workspace_apps_api_key"]);
export type CryptoKeyFeature = z.infer<typeof cryptoKeyFeature>;

/** A key of this proxy alone. It signs from `starts_at` on, and what it signed is accepted until `deletes_at`. */
export const cryptoKey = z.object({
  feature: cryptoKeyFeature,
  /** Hex, 32 bytes. */
  secret: z.string().regex(/^[0-9a-f]{64}$/),
  sequence: z.number().int().nonnegative(),
  starts_at: timestamp,
  deletes_at: timestamp,
});
export type CryptoKey = z.infer<typeof cryptoKey>;

export const cryptoKeysResponse = z.object({ crypto_keys: z.array(cryptoKey).max(16) });
export type CryptoKeysResponse = z.infer<typeof cryptoKeysResponse>;

export const appAccessMethod = z.enum(["path", "subdomain", "terminal"]);
export type AppAccessMethod = z.infer<typeof appAccessMethod>;

/** Names an app, or for `terminal` the agent by its id. */
export const appRequest = z.object({
  access_method: appAccessMethod,
  base_path: z.string().max(MAX_PATH_LENGTH).default(""),
  app_prefix: z.string().max(MAX_ASKED_NAME_LENGTH).default(""),
  /** Never "me": the proxy does not know the caller. */
  username_or_id: z.string().max(MAX_ASKED_NAME_LENGTH).default(""),
  workspace_name_or_id: z.string().max(MAX_ASKED_NAME_LENGTH).default(""),
  agent_name_or_id: z.string().max(MAX_ASKED_NAME_LENGTH).default(""),
  app_slug_or_port: z.string().max(MAX_ASKED_NAME_LENGTH).default(""),
});
export type AppRequest = z.infer<typeof appRequest>;

export const issueAppTokenRequest = z.object({
  app_request: appRequest,
  /** The access URL of the proxy. */
  path_app_base_url: z.string().max(MAX_URL_LENGTH).default(""),
  /** The host that the browser requested, in lower case and without a port. For `subdomain` its label names the app. */
  app_hostname: z.string().max(MAX_HOST_LENGTH).default(""),
  /** Where a browser returns to after a sign-in. */
  app_path: z.string().max(MAX_PATH_LENGTH).default(""),
  app_query: z.string().max(MAX_PATH_LENGTH).default(""),
  /** The visitor's session at that host, or a token from a header; "" for an anonymous visitor. */
  session_token: z.string().max(MAX_TOKEN_LENGTH).default(""),
});
export type IssueAppTokenRequest = z.input<typeof issueAppTokenRequest>;

/**
 * Our addition: marks an answer other than 201 to {@link PROXY_ISSUE_APP_TOKEN_PATH} as the decision about the visitor. An answer
 * without it decides nothing: the server does not understand the request, or does not accept the proxy.
 */
export const APP_REFUSAL_HEADER = "Coder-App-Refusal";

/** With status 201. Any other answer with {@link APP_REFUSAL_HEADER} is for the visitor: the proxy passes it on as it is. */
export const issueAppTokenResponse = z.object({ signed_token_str: z.string() });
export type IssueAppTokenResponse = z.infer<typeof issueAppTokenResponse>;

/** One use of an app by one user, which may still be in progress. */
export const appUse = z.object({
  user_id: uuid,
  workspace_id: uuid,
  agent_id: uuid,
  access_method: appAccessMethod,
  slug_or_port: z.string().max(MAX_ASKED_NAME_LENGTH),
  session_id: uuid,
  session_started_at: timestamp,
  session_ended_at: timestamp,
  requests: z.number().int().nonnegative(),
});
export type AppUse = z.infer<typeof appUse>;

export const appStatsRequest = z.object({ stats: z.array(appUse).max(MAX_STATS) });
export type AppStatsRequest = z.infer<typeof appStatsRequest>;

/** Our addition. */
export const redeemAppTicketRequest = z.object({
  ticket: z.string().max(MAX_TOKEN_LENGTH),
  /** In lower case, without a port: the ticket is for this host. */
  host: z.string().max(MAX_HOST_LENGTH),
  /** The nonce of the state cookie that the browser sent to the host; the ticket was requested with its digest. */
  nonce: z.string().max(MAX_TOKEN_LENGTH),
  /** The request target with which the browser brought the ticket, without the ticket: the browser continues there. */
  target: z.string().max(MAX_PATH_LENGTH).optional(),
});
export type RedeemAppTicketRequest = z.infer<typeof redeemAppTicketRequest>;

/** The value of the session cookie, which counts at that host and through this proxy only. */
export const redeemAppTicketResponse = z.object({
  session_id: z.string().max(MAX_TOKEN_LENGTH),
  max_age_seconds: z.number().int().positive(),
  /** Where the browser continues instead of `target`: at the next host of the sign-in. */
  next: z.string().max(MAX_PATH_LENGTH).optional(),
});
export type RedeemAppTicketResponse = z.infer<typeof redeemAppTicketResponse>;

export const ptySignedTokenRequest = z.object({
  /** ws(s): where the terminal is going to be opened, at the access URL of a proxy. */
  url: z.string().max(MAX_URL_LENGTH),
  agentID: uuid,
});
export type PtySignedTokenRequest = z.infer<typeof ptySignedTokenRequest>;

export const ptySignedTokenResponse = z.object({ signed_token: z.string() });
export type PtySignedTokenResponse = z.infer<typeof ptySignedTokenResponse>;

/** The program of a workspace that a token is for, with what its owner chose for it. */
export const appGrantTarget = z.object({
  workspace_id: uuid,
  owner_id: uuid,
  agent_id: uuid,
  port: z.number().int().min(1).max(65_535),
  secure: z.boolean(),
  base_path: z.string(),
  query: z.string(),
  level: shareLevel,
  /** Milliseconds since the epoch. */
  share_ends_at: z.number().optional(),
  host_header: z.enum(["preserve", "localhost"]),
  cors: z.enum(["simple", "passthru"]),
  cors_origins: z.array(z.string()),
  also: z.array(z.string()),
  identity_headers: z.boolean(),
});
export type AppGrantTarget = z.infer<typeof appGrantTarget>;

/** Our addition to the token: what was decided, so that the proxy need not ask again. */
export const appGrant = z.object({
  /** Absent for a terminal. */
  target: appGrantTarget.optional(),
  /** Absent for an anonymous visitor. */
  visitor: z
    .object({ id: uuid, role: z.enum(["owner", "member"]), username: z.string(), email: z.string() })
    .optional(),
  owner: z.object({ id: uuid, username: z.string() }),
  workspace: z.object({ id: uuid, name: z.string() }),
  agent: z.object({ id: uuid, name: z.string() }),
  state: z.enum(["running", "stopped", "offline"]),
  /** Milliseconds since the epoch: when login, session or share ends if nothing renews it. */
  ends_at: z.number().optional(),
});
export type AppGrant = z.infer<typeof appGrant>;
