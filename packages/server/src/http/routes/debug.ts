import type { Context } from "hono";
import { requestToken } from "../../auth/authenticator.ts";
import { notFound } from "../../errors.ts";
import { HealthChecks } from "../../health/health-checks.ts";
import type { HttpEnv, RouteContext, Router } from "../context.ts";
import { coordinatorPage, tailnetPage } from "../debug-pages.ts";
import { requireOwner, requireUser } from "../reply.ts";

/** For owners of the deployment only: these pages name addresses and keys of everybody's peers. */
export function debugRoutes(router: Router, context: RouteContext): void {
  const user = requireUser(context);
  const health = new HealthChecks(context);

  router.get("/debug/health", user, requireOwner, async (c) => {
    const token = requestToken(c.env.incoming)?.token ?? "";
    const force = c.req.query("force");
    return c.json(await health.report(token, force === "true" || force === "1"));
  });

  router.get("/debug/coordinator", user, requireOwner, async (c) => {
    const debug = await context.controlPlane()?.debugCoordinator?.();
    if (debug === undefined) throw notFound();
    return wantsJson(c) ? c.json(debug) : c.html(coordinatorPage(debug));
  });

  router.get("/debug/tailnet", user, requireOwner, async (c) => {
    const debug = await context.controlPlane()?.debugTailnet?.();
    if (debug === undefined) throw notFound();
    return wantsJson(c) ? c.json(debug) : c.html(tailnetPage(debug));
  });
}

function wantsJson(c: Context<HttpEnv>): boolean {
  return /\bapplication\/json\b/.test(c.req.header("accept") ?? "");
}
