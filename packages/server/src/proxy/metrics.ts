import { Counter, Gauge, type Registry } from "prom-client";
import { monotonicNow } from "wg-userspace/io/host/clock";
import type { ProxyApps } from "./apps/proxy-apps.ts";
import type { RelayKeys } from "./relay-keys.ts";

/** A workspace proxy's own metrics, read when they are requested. */
export function proxyMetrics(
  registry: Registry,
  facts: {
    readonly registerFailures: () => number;
    /** Undefined without a relay. */
    readonly keys: Pick<RelayKeys, "size" | "ageMs"> | undefined;
  },
): void {
  const registers = [registry];
  new Counter({
    name: "coder_wsproxy_register_failures_total",
    help: "Failed attempts to register with the primary",
    registers,
    collect(this: Counter) {
      this.reset();
      this.inc(facts.registerFailures());
    },
  });
  const { keys } = facts;
  if (keys === undefined) return;
  new Gauge({
    name: "coder_wsproxy_relay_keys",
    help: "Clients that the primary names for this relay",
    registers,
    collect(this: Gauge) {
      this.set(keys.size);
    },
  });
  new Gauge({
    name: "coder_wsproxy_relay_keys_age_seconds",
    help: "Time since the stream of relay keys gave a sign of life; absent before the first",
    registers,
    collect(this: Gauge) {
      const ms = keys.ageMs(monotonicNow());
      if (ms === undefined) this.remove();
      else this.set(ms / 1000);
    },
  });
}

/** What browsers have open at a proxy, and the primary's answers about it. */
export function proxyAppMetrics(registry: Registry, apps: Pick<ProxyApps, "openCount" | "counts" | "useCounts">): void {
  const registers = [registry];
  new Gauge({
    name: "coder_wsproxy_open_rights",
    help: "Terminals, and requests and WebSockets of apps, that are open",
    registers,
    collect(this: Gauge) {
      this.set(apps.openCount);
    },
  });
  new Counter({
    name: "coder_wsproxy_app_tokens_total",
    help: "Questions to the primary for a right to an app or terminal, by its answer; unknown: it did not answer",
    labelNames: ["answer"],
    registers,
    collect(this: Counter) {
      this.reset();
      for (const [answer, count] of Object.entries(apps.counts)) this.inc({ answer }, count);
    },
  });
  new Counter({
    name: "coder_wsproxy_app_use_reports_total",
    help: "Requests to apps and terminals whose use was reported to the primary, and could not be within 15 minutes",
    labelNames: ["outcome"],
    registers,
    collect(this: Counter) {
      this.reset();
      for (const [outcome, count] of Object.entries(apps.useCounts)) this.inc({ outcome }, count);
    },
  });
}
