import { readFileSync } from "node:fs";
import type { Server } from "node:http";
import type { Logger } from "../base/log.ts";

/** Reserved for the database, logs, name look-ups and our own connections. */
const RESERVED = 128;
const LEAST_CONNECTIONS = 16;
const WARN_EVERY_MS = 60_000;

/** How many files and sockets this process may have open; undefined if the system does not report it. */
export function descriptorLimit(
  limits: () => string = () => readFileSync("/proc/self/limits", "utf8"),
): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(limits())?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined; // not Linux
  }
}

/**
 * Refuses connections before the process runs out of descriptors, and logs the reason. Beyond the limit, the system would accept
 * connections and drop them silently, and nothing else could be opened either.
 */
export function limitConnections(server: Server, log: Logger, limit: number | undefined = descriptorLimit()): void {
  if (limit === undefined) return;
  server.maxConnections = Math.max(LEAST_CONNECTIONS, limit - RESERVED);
  let warnedAt = Number.NEGATIVE_INFINITY;
  let refused = 0;
  server.on("drop", () => {
    refused++;
    const now = performance.now();
    if (now - warnedAt < WARN_EVERY_MS) return;
    warnedAt = now;
    log.warn(
      { connections: server.maxConnections, openFiles: limit, refused },
      "connections are refused: this process may not open more files; raise LimitNOFILE of the service, or ulimit -n",
    );
  });
}
