/** The latest log lines, kept in memory for debugging the agent through the tunnel. */
import { type Logger, logs } from "wg-userspace/base/ports";

/** The oldest lines are dropped first. */
const KEPT_CHARACTERS = 2 * 1024 * 1024;
const MAX_LINE_CHARACTERS = 16 * 1024;
const SECRET = /token|secret|password|headers|environment|authorization|cookie/i;

export class RecentLog implements Logger {
  readonly #inner: Logger;
  readonly #now: () => number;
  readonly #keep: number;
  readonly #lines: string[] = [];
  #characters = 0;

  /** @param inner Also receives every line. */
  constructor(inner: Logger, now: () => number = Date.now, keep: number = KEPT_CHARACTERS) {
    this.#inner = inner;
    this.#now = now;
    this.#keep = keep;
  }

  get level(): Logger["level"] {
    return this.#inner.level;
  }

  log: Logger["log"] = (level, message, fields) => {
    this.#inner.log(level, message, fields);
    if (!logs(this.#inner, level)) return;
    const time = new Date(this.#now()).toISOString();
    this.#push(toJson({ ...fields, time, level, msg: message }).slice(0, MAX_LINE_CHARACTERS));
  };

  /** JSON lines, oldest first. */
  text(): string {
    return this.#lines.map((line) => `${line}\n`).join("");
  }

  #push(line: string): void {
    this.#lines.push(line);
    this.#characters += line.length + 1;
    while (this.#characters > this.#keep) this.#characters -= (this.#lines.shift()?.length ?? 0) + 1;
  }
}

/** A log line must never cause a failure, so fields that JSON cannot express are left out. */
function toJson(line: { time: string; level: string; msg: string }): string {
  try {
    return JSON.stringify(line, replacer);
  } catch (error) {
    const { time, level, msg } = line;
    return JSON.stringify({ time, level, msg, fields: `cannot be shown: ${String(error).split("\n", 1)[0]}` });
  }
}

function replacer(name: string, value: unknown): unknown {
  if (SECRET.test(name)) return "[redacted]";
  if (value instanceof Error) return String(value);
  return typeof value === "bigint" ? value.toString() : value;
}
