/** Section `database`: whether the store answers and, for servers on PostgreSQL, what else they need from it. */
import type { HealthMessage, HealthReport } from "coder-protocol/rest/deployment";
import type { Logger } from "../base/log.ts";
import type { ConnectionPool } from "../db/backend.ts";
import { fails, message, works } from "./section.ts";

const PINGS = 5;
const MAX_SKEW_MS = 2_000;
const EXHAUSTED_MS = 60_000;

/** Facts about the database that exist only with PostgreSQL. */
export interface SharedDatabase {
  /** How this server learns of changes made by others. */
  readonly mode: "listen" | "poll";
  /** How far the clock of this machine is behind the database's. */
  readonly skewMs: number;
  readonly pool: ConnectionPool | undefined;
}

export interface DatabaseCheck {
  readonly ping: () => Promise<number>;
  readonly thresholdMs: number;
  /** Undefined if this process has the database to itself. */
  readonly shared: SharedDatabase | undefined;
  readonly log: Pick<Logger, "error">;
}

export async function checkDatabase(check: DatabaseCheck): Promise<HealthReport["database"]> {
  const { thresholdMs, shared } = check;
  const warnings = shared === undefined ? [] : sharedWarnings(shared, performance.now());
  try {
    const latencies: number[] = [];
    for (let i = 0; i < PINGS; i++) latencies.push(await check.ping());
    const latencyMs = latencies.sort((a, b) => a - b)[PINGS >> 1]!;
    const slow = latencyMs > thresholdMs ? [slowWarning(latencyMs, thresholdMs, shared !== undefined)] : [];
    return {
      ...works([...slow, ...warnings]),
      reachable: true,
      latency: `${latencyMs.toFixed(3)}ms`,
      latency_ms: latencyMs,
      threshold_ms: thresholdMs,
    };
  } catch (error) {
    check.log.error({ err: error }, "the database does not answer");
    const who =
      shared === undefined
        ? "check the disk of --state-dir and the server's log"
        : "have the database's administrator check that PostgreSQL runs and admits this machine; the server's log has the reason";
    return {
      ...fails("EDB01", `the database does not answer: ${who}`),
      warnings,
      reachable: false,
      latency: "",
      latency_ms: 0,
      threshold_ms: thresholdMs,
    };
  }
}

function slowWarning(latencyMs: number, thresholdMs: number, isShared: boolean): HealthMessage {
  const fix = isShared
    ? "Bring servers and PostgreSQL closer together, or give PostgreSQL more CPU and faster disks"
    : "Check the load of the disk of --state-dir";
  return message(
    "EDB02",
    `A small query takes ${latencyMs.toFixed(1)} ms (median of ${PINGS}), more than ${thresholdMs} ms. ${fix}; ` +
      "--health-check-threshold-database sets the limit",
  );
}

/** @param now As returned by performance.now(). */
export function sharedWarnings({ mode, skewMs, pool }: SharedDatabase, now: number): HealthMessage[] {
  const warnings: HealthMessage[] = [];
  if (mode === "poll") {
    warnings.push(
      message(
        "EDB03",
        "The database delivers no notifications to this server, which asks for changes of the others every 50 ms instead. " +
          "A pooler in transaction mode is the usual cause: the operator should point --postgres-url past it, or set it to session mode",
      ),
    );
  }
  if (Math.abs(skewMs) > MAX_SKEW_MS) {
    const seconds = (Math.abs(skewMs) / 1_000).toFixed(1);
    warnings.push(
      message(
        "EDB04",
        `The clock of this machine is ${seconds} s ${skewMs > 0 ? "behind" : "ahead of"} the database's. Times are corrected by it, ` +
          "but those of logs and certificates are not: the administrator of this machine, or of the database's, should set up NTP",
      ),
    );
  }
  if (pool?.exhaustedAt !== undefined && now - pool.exhaustedAt < EXHAUSTED_MS) {
    warnings.push(
      message(
        "EDB05",
        `All ${pool.max} connections to the database were in use during the last minute, and requests waited for more than a ` +
          "second or were refused. The operator should raise --postgres-conn-max-open as far as PostgreSQL's max_connections allows, " +
          "or find out what makes queries slow",
      ),
    );
  }
  return warnings;
}
