/** The routes that workspace proxies use to serve apps and terminals, and those through which users open a terminal there. */
import {
  APP_REFUSAL_HEADER,
  appStatsRequest,
  type CryptoKeysResponse,
  cryptoKeyFeature,
  type IssueAppTokenResponse,
  issueAppTokenRequest,
  PROXY_APP_STATS_PATH,
  PROXY_CRYPTO_KEYS_PATH,
  PROXY_ISSUE_APP_TOKEN_PATH,
  PROXY_REDEEM_TICKET_PATH,
  PTY_SIGNED_TOKEN_PATH,
  type PtySignedTokenResponse,
  ptySignedTokenRequest,
  type RedeemAppTicketResponse,
  redeemAppTicketRequest,
} from "coder-protocol/rest/proxy-apps";
import type { Context } from "hono";
import type { ProxyKeys } from "../../apps/proxy-keys.ts";
import type { ProxySignIn } from "../../apps/proxy-sign-in.ts";
import type { AppTokenQuestion, ProxyTokens } from "../../apps/proxy-tokens.ts";
import type { ProxyUses } from "../../apps/proxy-uses.ts";
import type { WallClock } from "../../base/clock.ts";
import type { WorkspaceProxyRow } from "../../db/schema.ts";
import type { ProxyServices } from "../../workspace-proxies/proxy-services.ts";
import { answerResponse } from "../app-answer.ts";
import { failureOf, HttpFailure } from "../failure.ts";
import type { Guard, HttpEnv, Router } from "../hono.ts";
import { readJson } from "../reply.ts";
import type { SenderOf } from "../senders.ts";

const API = "/api/v2";
/** Sufficient for as many uses as the schema accepts. */
const MAX_STATS_BYTES = 1024 * 1024;

export interface ProxyAppRoutesDeps {
  readonly user: Guard;
  readonly requestProxy: SenderOf<WorkspaceProxyRow>;
  readonly proxies: Pick<ProxyServices, "directory" | "requireServing">;
  readonly keys: ProxyKeys;
  readonly tokens: ProxyTokens;
  readonly signIn: ProxySignIn;
  readonly uses: ProxyUses;
  readonly clock: WallClock;
  readonly bodyBytes: number;
}

export function proxyAppRoutes(router: Router, deps: ProxyAppRoutesDeps): void {
  const { user, requestProxy, keys, tokens, signIn, uses, clock, bodyBytes } = deps;
  const { directory, requireServing } = deps.proxies;
  /** The requesting proxy, if it may serve apps and terminals. Throws DomainError "unauthenticated" or "forbidden". */
  const serving = async (c: Context<HttpEnv>): Promise<WorkspaceProxyRow> => {
    const proxy = await requestProxy(c);
    requireServing(proxy);
    return proxy;
  };

  /** A refusal to the proxy itself counts as a decision about its visitors as well, so that what it has open for them ends. */
  const decided = async (proxy: WorkspaceProxyRow, question: AppTokenQuestion) => {
    try {
      requireServing(proxy);
      return await tokens.issue(proxy, question);
    } catch (error) {
      throw marked(error);
    }
  };

  router.get(PROXY_CRYPTO_KEYS_PATH.slice(API.length), async (c) => {
    const proxy = await serving(c);
    const feature = cryptoKeyFeature.safeParse(c.req.query("feature"));
    if (!feature.success)
      throw new HttpFailure(400, "Query parameters have invalid values.", {
        validations: [{ field: "feature", detail: `must be ${cryptoKeyFeature.options.join(" or ")}` }],
      });
    const body: CryptoKeysResponse = { crypto_keys: keys.list(proxy, feature.data, clock.now()) };
    return c.json(body);
  });

  router.post(PROXY_ISSUE_APP_TOKEN_PATH.slice(API.length), async (c) => {
    const proxy = await requestProxy(c);
    const question = await readJson(c, issueAppTokenRequest, bodyBytes);
    const issued = await decided(proxy, question);
    if ("status" in issued) {
      const headers = { ...issued.headers, [APP_REFUSAL_HEADER]: "1" };
      return answerResponse(c.env.incoming, { ...issued, headers });
    }
    const body: IssueAppTokenResponse = { signed_token_str: issued.token };
    return c.json(body, 201);
  });

  router.post(PROXY_REDEEM_TICKET_PATH.slice(API.length), async (c) => {
    const proxy = await serving(c);
    const redemption = await readJson(c, redeemAppTicketRequest, bodyBytes);
    const session = await signIn.redeem(proxy, redemption);
    if (session === undefined)
      throw new HttpFailure(
        400,
        "The ticket is not valid: it is for another browser or host, has ended, or was used before",
      );
    const { id, maxAgeSeconds, next } = session;
    const body: RedeemAppTicketResponse = { session_id: id, max_age_seconds: maxAgeSeconds, next };
    return c.json(body);
  });

  router.post(PROXY_APP_STATS_PATH.slice(API.length), async (c) => {
    const proxy = await serving(c);
    const { stats } = await readJson(c, appStatsRequest, MAX_STATS_BYTES);
    await uses.record(proxy, stats);
    return c.body(null, 204);
  });

  router.post(PTY_SIGNED_TOKEN_PATH.slice(API.length), user, async (c) => {
    const { url, agentID } = await readJson(c, ptySignedTokenRequest, bodyBytes);
    const agentId = agentID.toLowerCase();
    const proxy = proxyOfTerminal(directory.all, url, agentId);
    requireServing(proxy);
    const body: PtySignedTokenResponse = {
      signed_token: await tokens.terminal(proxy, c.get("auth").key.id, agentId),
    };
    return c.json(body);
  });
}

/** Marks a refusal as a decision about the visitor, so that the proxy can distinguish it from other failures. */
function marked(error: unknown): unknown {
  const failure = failureOf(error);
  if (failure === undefined) return error;
  const { status, body, headers } = failure;
  return new HttpFailure(status, body.message, { ...body, headers: { ...headers, [APP_REFUSAL_HEADER]: "1" } });
}

/** The proxy at whose access URL a terminal will be opened. Throws HttpFailure 400. */
function proxyOfTerminal(proxies: readonly WorkspaceProxyRow[], text: string, agentId: string): WorkspaceProxyRow {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "ws:" && url.protocol !== "wss:"))
    throw refusal("must be of the form wss://host/path");
  const path = `${API}/workspaceagents/${agentId}/pty`;
  if (url.pathname.toLowerCase() !== path) throw refusal(`must have the path ${path}`);
  const origin = `${url.protocol === "wss:" ? "https:" : "http:"}//${url.host}`;
  const [proxy, ...others] = proxies.filter((row) => row.url === origin && row.derp_only === 0);
  if (proxy === undefined || others.length > 0)
    throw refusal("must be at the access URL of a workspace proxy that serves terminals");
  return proxy;
}

function refusal(detail: string): HttpFailure {
  return new HttpFailure(400, "The address of the terminal is not valid.", { validations: [{ field: "url", detail }] });
}
