import { Gauge, type Registry } from "prom-client";

/** A workspace proxy's own figures on /metrics, read when they are asked for. */
export function proxyMetrics(
  registry: Registry,
  facts: {
    readonly registerFailures: () => number;
    readonly keys: () => number;
    readonly keysAgeMs: () => number | undefined;
  },
): void {
  const figures: readonly [string, string, () => number | undefined][] = [
    ["coder_wsproxy_register_failures_total", "Failed attempts to register with the primary", facts.registerFailures],
    ["coder_wsproxy_relay_keys", "Clients that the primary names for this relay", facts.keys],
    [
      "coder_wsproxy_relay_keys_age_seconds",
      "Time since the stream of relay keys gave a sign of life; absent before the first",
      () => {
        const ms = facts.keysAgeMs();
        return ms === undefined ? undefined : ms / 1000;
      },
    ],
  ];
  for (const [name, help, value] of figures) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect(this: Gauge) {
        const now = value();
        if (now === undefined) this.reset();
        else this.set(now);
      },
    });
  }
}
