import { type HealthSettings, healthSettings } from "coder-protocol/rest/deployment";
import type { Context } from "hono";
import { requestToken } from "../../auth/authenticator.ts";
import { notFound } from "../../base/errors.ts";
import { HealthChecks, withDismissals } from "../../health/health-checks.ts";
import type { HttpEnv, RouteContext, Router } from "../context.ts";
import { readJson, requireOwner, requireUser } from "../reply.ts";
import { coordinatorPage, tailnetPage } from "../views/debug-pages.ts";

/** For owners of the deployment only: these pages name addresses and keys of everybody's peers. */
export function debugRoutes(router: Router, context: RouteContext): void {
  const user = requireUser(context);
  const health = new HealthChecks(context);

  router.get("/debug/health", user, requireOwner, async (c) => {
    const token = requestToken(c.env.incoming)?.token ?? "";
    const force = c.req.query("force");
    const report = await health.report(token, force === "true" || force === "1");
    return c.json(withDismissals(report, await dismissals(context)));
  });

  router.get("/debug/health/settings", user, requireOwner, async (c) => {
    const body: HealthSettings = { dismissed_healthchecks: await dismissals(context) };
    return c.json(body);
  });

  router.put("/debug/health/settings", user, requireOwner, async (c) => {
    const settings = await readJson(c, healthSettings, context.limits.bodyBytes);
    await context.store.settings.replace("dismissed_healthchecks", JSON.stringify(settings.dismissed_healthchecks));
    return c.json(settings);
  });

  router.get("/debug/expvar", user, requireOwner, (c) => c.json(processFigures()));

  // Who relays how much is not counted by connection; the totals are among the metrics.
  router.get("/debug/derp/traffic", user, requireOwner, (c) => c.json([]));

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

async function dismissals(context: RouteContext): Promise<HealthSettings["dismissed_healthchecks"]> {
  const stored = await context.store.settings.read("dismissed_healthchecks");
  return stored === undefined ? [] : healthSettings.shape.dismissed_healthchecks.parse(JSON.parse(stored));
}

/** Figures of the process, by the names of Go's expvar. Its command line is not among them: it may hold secrets. */
function processFigures(): Record<string, unknown> {
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
  return {
    cmdline: [],
    memstats: { Alloc: heapUsed, HeapAlloc: heapUsed, HeapSys: heapTotal, OtherSys: external, Sys: rss },
  };
}

function wantsJson(c: Context<HttpEnv>): boolean {
  return /\bapplication\/json\b/.test(c.req.header("accept") ?? "");
}
