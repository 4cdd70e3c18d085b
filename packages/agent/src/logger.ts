import { mkdirSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import pino from "pino";
import type { Logger, LogLevel } from "wg-userspace/base/ports";

/** Fields that look like secrets: their values are never logged. */
const SECRET = ["token", "headers", "environment"];

/** The agent's log: lines for people where stderr is a terminal, JSON lines to files and pipes. */
export function createAgentLogger(path: string | undefined, verbose: boolean): Logger {
  const level = verbose ? "debug" : "info";
  if (path === undefined && process.stderr.isTTY === true) return terminalLogger(level, (line) => writeSync(2, line));
  if (path !== undefined) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const log = pino(
    { level, base: null, redact: SECRET.flatMap((name) => [name, `*.${name}`]) },
    pino.destination({ dest: path ?? 2, sync: true }),
  );
  return { level, log: (severity, message, fields) => log[severity](fields ?? {}, message) };
}

const ORDER: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error"];

/** `15:04:05 info  connected  url=http://…`. Control characters in values from peers are escaped. */
export function terminalLogger(level: LogLevel, write: (line: string) => void, now = () => new Date()): Logger {
  return {
    level,
    log(severity, message, fields) {
      if (ORDER.indexOf(severity) < ORDER.indexOf(level)) return;
      const details = Object.entries(fields ?? {}).map(([key, value]) => ` ${key}=${shown(key, value)}`);
      const line = `${now().toTimeString().slice(0, 8)} ${severity.padEnd(5)} ${message}${details.join("")}`;
      write(`${line.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "?")}\n`);
    },
  };
}

function shown(key: string, value: unknown): string {
  if (SECRET.includes(key)) return "[Redacted]";
  if (value instanceof Error) return JSON.stringify(value.message);
  if (typeof value === "string") return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  return (
    JSON.stringify(value, (inner, one: unknown) => (inner !== "" && SECRET.includes(inner) ? "[Redacted]" : one)) ?? ""
  );
}
