import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { ConnectionPool, DatabaseObserver } from "../db/backend.ts";

/** Metrics of PostgreSQL as used by this server. There are none for SQLite, which is not a separate service. */
export function databaseMetrics(registry: Registry): DatabaseObserver {
  const queries = new Histogram({
    name: "coder_db_query_seconds",
    help: "Time that a statement takes in PostgreSQL and on the way, by kind",
    labelNames: ["query"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers: [registry],
  });
  const retries = new Counter({
    name: "coder_db_retries_total",
    help: "Transactions that ran again, by reason",
    labelNames: ["code"],
    registers: [registry],
  });
  for (const code of ["conflict", "deadlock", "connection"]) retries.inc({ code }, 0);
  return {
    query: (kind, seconds) => queries.observe({ query: kind }, seconds),
    retried: (code) => retries.inc({ code }),
  };
}

export function poolMetrics(registry: Registry, pool: ConnectionPool): void {
  new Gauge({
    name: "coder_db_pool_connections",
    help: "Connections to PostgreSQL for requests: used, idle, and the most that there may be; waiting are queries without one",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      this.set({ state: "used" }, pool.used);
      this.set({ state: "idle" }, pool.idle);
      this.set({ state: "waiting" }, pool.waiting);
      this.set({ state: "max" }, pool.max);
    },
  });
}
