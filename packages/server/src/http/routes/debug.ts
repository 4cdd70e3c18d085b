import { type HealthSettings, healthSettings } from "coder-protocol/rest/deployment";
import type { Context } from "hono";
import type { ControlPlane } from "../../control/control-plane.ts";
import type { Settings } from "../../db/settings.ts";
import { type HealthChecks, withDismissals } from "../../health/health-checks.ts";
import { requireOwner } from "../guards.ts";
import type { Guard, HttpEnv, Router } from "../hono.ts";
import { readJson } from "../reply.ts";
import type { clusterDebug } from "../views/cluster-debug.ts";
import { coordinatorPage, tailnetPage } from "../views/debug-pages.ts";

export interface DebugRoutesDeps {
  readonly user: Guard;
  readonly health: HealthChecks;
  readonly settings: Settings;
  readonly control: Pick<ControlPlane, "debugCoordinator" | "debugTailnet">;
  readonly cluster: () => ReturnType<typeof clusterDebug>;
  readonly bodyBytes: number;
}

/** For owners of the deployment only: these pages contain addresses and keys of all peers. */
export function debugRoutes(router: Router, deps: DebugRoutesDeps): void {
  const { user, health, settings, control } = deps;

  router.get("/debug/health", user, requireOwner, async (c) => {
    const force = c.req.query("force");
    const report = await health.report(force === "true" || force === "1");
    return c.json(withDismissals(report, await dismissals(settings)));
  });

  router.get("/debug/health/settings", user, requireOwner, async (c) => {
    const body: HealthSettings = { dismissed_healthchecks: await dismissals(settings) };
    return c.json(body);
  });

  router.put("/debug/health/settings", user, requireOwner, async (c) => {
    const wanted = await readJson(c, healthSettings, deps.bodyBytes);
    await settings.replace("dismissed_healthchecks", JSON.stringify(wanted.dismissed_healthchecks));
    return c.json(wanted);
  });

  router.get("/debug/expvar", user, requireOwner, (c) => c.json(processFigures()));

  // Traffic is not counted per connection; the metrics contain the totals.
  router.get("/debug/derp/traffic", user, requireOwner, (c) => c.json([]));

  router.get("/debug/coordinator", user, requireOwner, async (c) => {
    const debug = await control.debugCoordinator();
    return wantsJson(c) ? c.json(debug) : c.html(coordinatorPage(debug));
  });

  router.get("/debug/cluster", user, requireOwner, (c) => c.json(deps.cluster()));

  router.get("/debug/tailnet", user, requireOwner, async (c) => {
    const debug = await control.debugTailnet();
    return wantsJson(c) ? c.json(debug) : c.html(tailnetPage(debug));
  });
}

async function dismissals(settings: Settings): Promise<HealthSettings["dismissed_healthchecks"]> {
  const stored = await settings.read("dismissed_healthchecks");
  return stored === undefined ? [] : healthSettings.shape.dismissed_healthchecks.parse(JSON.parse(stored));
}

/** Figures of the process under the names of Go's expvar. Its command line is omitted, because it may contain secrets. */
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
