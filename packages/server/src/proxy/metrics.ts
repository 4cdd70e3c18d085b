import { Counter, Gauge, type Registry } from "prom-client";

/** A workspace proxy's own figures on /metrics, read when they are asked for. */
export function proxyMetrics(
  registry: Registry,
  facts: {
    readonly registerFailures: () => number;
    readonly keys: () => number;
    readonly keysAgeMs: () => number | undefined;
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
  new Gauge({
    name: "coder_wsproxy_relay_keys",
    help: "Clients that the primary names for this relay",
    registers,
    collect(this: Gauge) {
      this.set(facts.keys());
    },
  });
  new Gauge({
    name: "coder_wsproxy_relay_keys_age_seconds",
    help: "Time since the stream of relay keys gave a sign of life; absent before the first",
    registers,
    collect(this: Gauge) {
      const ms = facts.keysAgeMs();
      if (ms === undefined) this.remove();
      else this.set(ms / 1000);
    },
  });
}
