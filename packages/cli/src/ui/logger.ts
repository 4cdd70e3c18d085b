import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { SESSION_ID_KEY } from "coder-protocol/session-id";
import type { Logger, LogLevel } from "wg-userspace/base/ports";
import { forTerminal } from "../base/line-ends.ts";
import { makeDirectories } from "../base/make-directories.ts";
import { clientSessionId } from "../base/session-id.ts";

const ORDER: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error"];

/** Log lines for people: to stderr with --verbose, to a file with --log-dir, otherwise nowhere. */
export function createLogger(options: { readonly verbose: boolean; readonly logDir: string | undefined }): Logger {
  const file = options.logDir === undefined ? undefined : logFile(options.logDir);
  if (!options.verbose && file === undefined) return { level: "error", log: () => undefined };
  const logger: Logger = {
    level: "debug",
    log(level, message, fields) {
      if (ORDER.indexOf(level) < 1) return;
      const line = logLine(level, message, fields);
      if (options.verbose) process.stderr.write(forTerminal(line));
      if (file !== undefined) appendFileSync(file, line, { mode: 0o600 });
    },
  };
  logger.log("info", "session", { [SESSION_ID_KEY]: clientSessionId() });
  return logger;
}

function logLine(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> | undefined): string {
  const details = Object.entries(fields ?? {}).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`);
  return `${new Date().toISOString()} [${level}] ${message}${details.join("")}\n`;
}

const MAX_KEPT_LINES = 10_000;

/** Keeps the last log lines in memory. */
export function memoryLogger(): { readonly logger: Logger; text(): string } {
  const lines: string[] = [];
  return {
    logger: {
      level: "debug",
      log(level, message, fields) {
        if (ORDER.indexOf(level) < 1) return;
        lines.push(logLine(level, message, fields));
        if (lines.length > MAX_KEPT_LINES) lines.shift();
      },
    },
    text: () => lines.join(""),
  };
}

/** `coder-ssh-<date>-<time>-<5 letters>-<parent pid>.log`: editors look for this name. */
function logFile(dir: string): string {
  makeDirectories(dir);
  const stamp = new Date().toISOString().replace(/[-:]/g, "").replace("T", "-").slice(0, 15);
  const letters = Array.from({ length: 5 }, () => String.fromCharCode(97 + Math.floor(Math.random() * 26))).join("");
  return join(dir, `coder-ssh-${stamp}-${letters}-${process.ppid}.log`);
}
