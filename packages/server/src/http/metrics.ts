import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { AUDIT_ACTIONS, type AuditAction } from "../auth/audit.ts";
import type { TextSockets } from "../base/text-sockets.ts";
import { createProcessMetrics, type ProcessMetrics } from "./process-metrics.ts";

/** Metrics of the server's process. Other parts add theirs to the same registry. */
export interface ServerMetrics extends ProcessMetrics {
  recordTransaction(seconds: number): void;
  recordAudit(action: AuditAction): void;
}

export function createMetrics(): ServerMetrics {
  const process = createProcessMetrics();
  const { registry } = process;
  const transactions = new Histogram({
    name: "coder_database_transaction_seconds",
    help: "Time that a write transaction takes, waiting for others and for the disk included",
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers: [registry],
  });
  const audited = new Counter({
    name: "coder_audit_events_total",
    help: "Logins, refusals and changes of users' rights, by action; also those that the log left out",
    labelNames: ["action"],
    registers: [registry],
  });
  // Starts each at zero, so that the first event counts as an increase.
  for (const action of AUDIT_ACTIONS) audited.inc({ action }, 0);
  return {
    ...process,
    recordTransaction: (seconds) => transactions.observe(seconds),
    recordAudit: (action) => audited.inc({ action }),
  };
}

export function socketMetrics(registry: Registry, sockets: Pick<TextSockets, "openCount">): void {
  new Gauge({
    name: "coderd_api_concurrent_websockets",
    help: "Open WebSockets of the REST surface",
    registers: [registry],
    collect() {
      this.set(sockets.openCount);
    },
  });
}
