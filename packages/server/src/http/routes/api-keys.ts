import {
  type ApiKey,
  type ApiKeyWithOwner,
  createTokenRequest,
  type GenerateApiKeyResponse,
  type TokenConfig,
} from "coder-protocol/rest/api-keys";
import type { Context } from "hono";
import { HttpFailure, notFound } from "../../base/errors.ts";
import { msToNanoseconds, nanosecondsToMs } from "../../config/durations.ts";
import type { ApiKeyRow } from "../../db/schema.ts";
import type { HttpEnv, RouteContext, Router } from "../context.ts";
import { record } from "../record.ts";
import { readJson, requireUser } from "../reply.ts";
import { apiKeyView } from "../views.ts";
import { pathUser } from "./users.ts";

const MAX_TOKENS_LISTED = 10_000;

export function apiKeyRoutes(router: Router, context: RouteContext): void {
  const { store, sessions, limits, config, clock } = context;
  const user = requireUser(context);
  const recordRemoval = async (c: Context<HttpEnv>, key: ApiKeyRow): Promise<void> =>
    record(c, context, {
      action: "key-removed",
      target: await store.users.byId(key.user_id),
      facts: { key_id: key.id },
    });

  router.post("/users/:user/keys", user, async (c) => {
    const target = await pathUser(c, context);
    // A login in another's name would hand an owner somebody else's identity without a trace in their token list.
    if (target.id !== c.get("auth").user.id) throw new HttpFailure(403, "You may only create a session for yourself");
    const issued = await sessions.issueSession(target);
    record(c, context, { action: "session-created", facts: { key_id: issued.row.id } });
    const body: GenerateApiKeyResponse = { key: issued.token };
    return c.json(body, 201);
  });

  router.get("/users/:user/keys", user, async (c) => {
    const target = await pathUser(c, context);
    const body: ApiKey[] = (await store.apiKeys.listAll(target.id)).map(apiKeyView);
    return c.json(body);
  });

  router.post("/users/:user/keys/tokens", user, async (c) => {
    const target = await pathUser(c, context);
    const request = await readJson(c, createTokenRequest, limits.bodyBytes);
    const scopes = [...(request.scopes ?? []), ...(request.scope ? [request.scope] : [])];
    if (scopes.some((scope) => scope !== "all" && scope !== "coder:all")) {
      throw new HttpFailure(400, 'Only tokens with the scope "all" can be created on this server');
    }
    const lifetime = request.lifetime ?? 0;
    const issued = await sessions.issueToken(target, {
      name: request.token_name ?? "",
      lifetimeMs: lifetime === 0 ? undefined : nanosecondsToMs(lifetime),
    });
    record(c, context, {
      action: "token-created",
      target,
      facts: { key_id: issued.row.id, name: issued.row.token_name },
    });
    const body: GenerateApiKeyResponse = { key: issued.token };
    return c.json(body, 201);
  });

  router.get("/users/:user/keys/tokens", user, async (c) => {
    const target = await pathUser(c, context);
    const all = c.req.query("include_all") === "true" && c.get("auth").user.role === "owner";
    const rows = await store.apiKeys.listTokens({
      userId: all ? undefined : target.id,
      notExpiredAt: c.req.query("include_expired") === "true" ? undefined : clock.now(),
      limit: MAX_TOKENS_LISTED,
    });
    const body: ApiKeyWithOwner[] = rows.map((row) => ({ ...apiKeyView(row), username: row.username }));
    return c.json(body);
  });

  router.get("/users/:user/keys/tokens/tokenconfig", user, async (c) => {
    await pathUser(c, context);
    const body: TokenConfig = { max_token_lifetime: msToNanoseconds(config.maxTokenLifetimeMs) };
    return c.json(body);
  });

  router.get("/users/:user/keys/tokens/:name", user, async (c) => {
    const target = await pathUser(c, context);
    const key = await store.apiKeys.byName(target.id, c.req.param("name"));
    if (key === undefined) throw notFound();
    return c.json(apiKeyView(key));
  });

  router.get("/users/:user/keys/:key", user, async (c) => c.json(apiKeyView(await pathKey(c, context))));

  router.delete("/users/:user/keys/:key", user, async (c) => {
    const key = await pathKey(c, context);
    if (!(await sessions.revoke(key))) throw notFound();
    await recordRemoval(c, key);
    return c.body(null, 204);
  });

  router.put("/users/:user/keys/:key/expire", user, async (c) => {
    const key = await pathKey(c, context);
    await sessions.expire(key);
    await recordRemoval(c, key);
    return c.body(null, 204);
  });
}

/** `:key` of the path, if it is `:user`'s; owners of the deployment find everybody's. */
async function pathKey(c: Context<HttpEnv>, context: RouteContext): Promise<ApiKeyRow> {
  const target = await pathUser(c, context);
  const key = await context.store.apiKeys.byId(c.req.param("key") ?? "");
  const { user } = c.get("auth");
  if (key === undefined || (key.user_id !== target.id && user.role !== "owner")) throw notFound();
  return key;
}
