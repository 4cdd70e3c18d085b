import type { ProxyStatus } from "coder-protocol/rest/workspace-proxies";
import { Gauge, Histogram, type Registry } from "prom-client";
import { healthOf } from "./health-state.ts";
import type { ProxyDirectory } from "./proxy-directory.ts";

/** The numbers that stock deployments use. */
const RESULTS: Readonly<Record<ProxyStatus, number>> = { ok: 1, unregistered: 0, unhealthy: -1, unreachable: -2 };

/** Metrics of the proxies' health. Returns a function to call with the duration of each check, in seconds. */
export function proxyMetrics(directory: ProxyDirectory, registry: Registry): (seconds: number) => void {
  new Gauge({
    name: "coderd_proxyhealth_health_check_results",
    help: "Health of each workspace proxy: 1 ok, 0 unregistered, -1 unhealthy, -2 unreachable",
    labelNames: ["proxy_id"],
    registers: [registry],
    collect(this: Gauge<"proxy_id">) {
      this.reset();
      for (const proxy of directory.all) this.set({ proxy_id: proxy.id }, RESULTS[healthOf(proxy).status]);
    },
  });
  const durations = new Histogram({
    name: "coderd_proxyhealth_health_check_duration_seconds",
    help: "How long checks of workspace proxies took",
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5],
    registers: [registry],
  });
  return (seconds) => durations.observe(seconds);
}
