import {
  type ApiKey,
  type ApiKeyWithOwner,
  createTokenRequest,
  type GenerateApiKeyResponse,
  type TokenConfig,
} from "coder-protocol/rest/api-keys";
import type { Context } from "hono";
import type { Sessions } from "../../auth/sessions.ts";
import type { WallClock } from "../../base/clock.ts";
import { notFound } from "../../base/domain-error.ts";
import { msToNanoseconds, nanosecondsToMs } from "../../config/durations.ts";
import type { ApiKeys } from "../../db/api-keys.ts";
import type { ApiKeyRow } from "../../db/schema.ts";
import type { Users } from "../../db/users.ts";
import { HttpFailure } from "../failure.ts";
import type { Guard, HttpEnv, Router } from "../hono.ts";
import { readJson } from "../reply.ts";
import type { RequestAudit } from "../request-audit.ts";
import { apiKeyView } from "../views/users.ts";
import { pathUser } from "./path-user.ts";

/** The names that older and newer stock clients use. */
const FULL_SCOPES = new Set(["all", "coder:all"]);
const APP_SCOPES = new Set(["application_connect", "coder:application_connect"]);
const MAX_TOKENS_LISTED = 10_000;

export interface ApiKeyRoutesDeps {
  readonly user: Guard;
  readonly users: Users;
  readonly apiKeys: ApiKeys;
  readonly sessions: Sessions;
  readonly audit: RequestAudit;
  readonly clock: WallClock;
  readonly maxTokenLifetimeMs: number;
  readonly bodyBytes: number;
}

export function apiKeyRoutes(router: Router, deps: ApiKeyRoutesDeps): void {
  const { user, users, apiKeys, sessions, audit, clock } = deps;
  const target = (c: Context<HttpEnv>) => pathUser(c, users);
  const recordRemoval = async (c: Context<HttpEnv>, key: ApiKeyRow): Promise<void> =>
    audit.record(c, { action: "key-removed", target: await users.byId(key.user_id), facts: { key_id: key.id } });

  /** The key named by `:key`, if it belongs to `:user`; owners of the deployment find every key. */
  const pathKey = async (c: Context<HttpEnv>): Promise<ApiKeyRow> => {
    const holder = await target(c);
    const key = await apiKeys.byId(c.req.param("key") ?? "");
    if (key === undefined || (key.user_id !== holder.id && c.get("auth").user.role !== "owner")) throw notFound();
    return key;
  };

  router.post("/users/:user/keys", user, async (c) => {
    const holder = await target(c);
    // A login in another user's name would give an owner that identity without a trace in the owner's own token list.
    if (holder.id !== c.get("auth").user.id) throw new HttpFailure(403, "You may only create a session for yourself");
    const issued = await sessions.issueSession(holder, { keyId: c.get("auth").key.id });
    audit.record(c, { action: "session-created", facts: { key_id: issued.row.id } });
    const body: GenerateApiKeyResponse = { key: issued.token };
    return c.json(body, 201);
  });

  router.get("/users/:user/keys", user, async (c) => {
    const holder = await target(c);
    const body: ApiKey[] = (await apiKeys.listAll(holder.id)).map(apiKeyView);
    return c.json(body);
  });

  router.post("/users/:user/keys/tokens", user, async (c) => {
    const holder = await target(c);
    const request = await readJson(c, createTokenRequest, deps.bodyBytes);
    const scopes = [...(request.scopes ?? []), ...(request.scope ? [request.scope] : [])];
    const limited = scopes.length > 0 && scopes.every((scope) => APP_SCOPES.has(scope));
    if (!limited && scopes.some((scope) => !FULL_SCOPES.has(scope))) {
      throw new HttpFailure(400, 'The scopes of this server are "all" and "application_connect"');
    }
    const lifetime = request.lifetime ?? 0;
    const wanted = {
      name: request.token_name ?? "",
      lifetimeMs: lifetime === 0 ? undefined : nanosecondsToMs(lifetime),
      scope: limited ? "application_connect" : "all",
    } as const;
    const issued = await sessions.issueToken(holder, wanted, { keyId: c.get("auth").key.id });
    audit.record(c, {
      action: "token-created",
      target: holder,
      facts: { key_id: issued.row.id, name: issued.row.token_name },
    });
    const body: GenerateApiKeyResponse = { key: issued.token };
    return c.json(body, 201);
  });

  router.get("/users/:user/keys/tokens", user, async (c) => {
    const holder = await target(c);
    const all = c.req.query("include_all") === "true" && c.get("auth").user.role === "owner";
    const rows = await apiKeys.listTokens({
      userId: all ? undefined : holder.id,
      notExpiredAt: c.req.query("include_expired") === "true" ? undefined : clock.now(),
      limit: MAX_TOKENS_LISTED,
    });
    const body: ApiKeyWithOwner[] = rows.map((row) => ({ ...apiKeyView(row), username: row.username }));
    return c.json(body);
  });

  router.get("/users/:user/keys/tokens/tokenconfig", user, async (c) => {
    await target(c);
    const body: TokenConfig = { max_token_lifetime: msToNanoseconds(deps.maxTokenLifetimeMs) };
    return c.json(body);
  });

  router.get("/users/:user/keys/tokens/:name", user, async (c) => {
    const holder = await target(c);
    const key = await apiKeys.byName(holder.id, c.req.param("name"));
    if (key === undefined) throw notFound();
    return c.json(apiKeyView(key));
  });

  router.get("/users/:user/keys/:key", user, async (c) => c.json(apiKeyView(await pathKey(c))));

  router.delete("/users/:user/keys/:key", user, async (c) => {
    const key = await pathKey(c);
    if (!(await sessions.revoke(key))) throw notFound();
    await recordRemoval(c, key);
    return c.body(null, 204);
  });

  router.put("/users/:user/keys/:key/expire", user, async (c) => {
    const key = await pathKey(c);
    await sessions.expire(key);
    await recordRemoval(c, key);
    return c.body(null, 204);
  });
}
