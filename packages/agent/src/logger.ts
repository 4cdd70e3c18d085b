import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import pino from "pino";
import type { Logger } from "wg-userspace/base/ports";

/** The agent's log: JSON lines to a file or stderr. Values that look like secrets never get in. */
export function createAgentLogger(path: string | undefined, verbose: boolean): Logger {
  if (path !== undefined) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const level = verbose ? "debug" : "info";
  const log = pino(
    { level, base: null, redact: ["token", "*.token", "headers", "*.headers", "environment", "*.environment"] },
    pino.destination({ dest: path ?? 2, sync: true }),
  );
  return { level, log: (severity, message, fields) => log[severity](fields ?? {}, message) };
}
