import { randomUUID } from "node:crypto";
import { Hono } from "hono";
import { notFound } from "../base/domain-error.ts";
import type { Logger } from "../base/log.ts";
import { failureOf, HttpFailure } from "./failure.ts";
import type { HttpEnv, Router } from "./hono.ts";
import { failureResponse } from "./reply.ts";

/** Adds routes below `/api/v2` (`api`) and at other paths (`root`). */
export type RouteGroup = (api: Router, root: Router) => void;

/** One router for all groups, with what they share: no caching below /api/, and errors as answers. */
export function buildRouter(groups: readonly RouteGroup[], log: Logger): Router {
  const root: Router = new Hono<HttpEnv>();
  const api: Router = new Hono<HttpEnv>();

  api.use(async (c, next) => {
    // Answers are personal or outdated soon, so none may be cached.
    c.header("Cache-Control", "no-store");
    await next();
  });
  for (const group of groups) group(api, root);
  // Copies the routes that have been added to `api` so far.
  root.route("/api/v2", api);
  root.get("/api/v2/", (c) => root.fetch(new Request(new URL("/api/v2", c.req.url)), c.env));

  root.notFound((c) => {
    const failure = c.req.path.startsWith("/api/") ? new HttpFailure(404, "Route not found.") : failureOf(notFound())!;
    return failureResponse(c, failure);
  });
  root.onError((error, c) => {
    const failure = failureOf(error);
    if (failure !== undefined) return failureResponse(c, failure);
    // The client gets a number to quote; the log has the details.
    const reference = randomUUID();
    log.error({ err: error, reference, method: c.req.method, path: c.req.path }, "request failed");
    return failureResponse(
      c,
      new HttpFailure(500, "An internal server error occurred.", { detail: `reference ${reference}` }),
    );
  });
  return root;
}
