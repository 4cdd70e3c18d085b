import { type Logger, pino } from "pino";

export type { Logger } from "pino";

export type ServerLogLevel = "trace" | "debug" | "info" | "warn" | "error";

/** A sink such as process.stderr. */
export interface TextSink {
  write(text: string): unknown;
}

/** Names of fields whose values never reach a log line, at the top level and one level down. */
const SECRET_FIELDS = [
  "token",
  "session_token",
  "agent_token",
  "password",
  "old_password",
  "secret",
  "key",
  "authorization",
  "cookie",
  "set-cookie",
  "coder-session-token",
  "resume_token",
  "coder-external-proxy-token",
  "proxy_token",
  "derp_mesh_key",
];

/**
 * Structured log of the server. Three measures keep secrets out: routes log no bodies, headers or query strings; known fields are
 * redacted; and whatever still has the form of a user's token is masked in the finished line.
 */
export function createLogger(options: { sink: TextSink; level: ServerLogLevel; format: "human" | "json" }): Logger {
  const { sink, format } = options;
  const paths = SECRET_FIELDS.flatMap((name) => {
    const quoted = name.includes("-") ? `["${name}"]` : name;
    return [quoted, name.includes("-") ? `*${quoted}` : `*.${name}`];
  });
  const destination = {
    write(line: string): void {
      const safe = maskTokens(line);
      sink.write(format === "json" ? safe : humanLine(safe));
    },
  };
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths, censor: "[redacted]" },
    },
    destination,
  );
}

/** Masks everything that has the form of a token of a user or a workspace proxy, and the value of token parameters in URLs. */
export function maskTokens(text: string): string {
  return text
    .replace(/(?<![a-zA-Z0-9])[a-zA-Z0-9]{10}-[a-zA-Z0-9]{22}(?![a-zA-Z0-9])/g, "[redacted]")
    .replace(/(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{64}(?![0-9a-f])/gi, "[redacted]")
    .replace(
      /((?:coder_session_token|coder_session|coder_app_session|access_token|resume_token)=)[^&;\s"']+/g,
      "$1[redacted]",
    );
}

const LEVEL_NAMES: Readonly<Record<number, string>> = {
  10: "TRCE",
  20: "DEBU",
  30: "INFO",
  40: "WARN",
  50: "ERRO",
  60: "CRIT",
};

/** A value that contains nothing by which a reader could mistake its end, another field or another line. */
const PLAIN = /^[^\s"=\p{C}]+$/u;

/** JSON in which every character that a terminal might interpret is escaped. */
function quoted(value: unknown): string {
  return JSON.stringify(value).replace(/\p{C}/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}

function humanLine(line: string): string {
  const record: Record<string, unknown> = JSON.parse(line);
  const { level, time, msg, ...rest } = record;
  const fields = Object.entries(rest).map(
    ([name, value]) => ` ${name}=${typeof value === "string" && PLAIN.test(value) ? value : quoted(value)}`,
  );
  return `${String(time)} [${LEVEL_NAMES[Number(level)] ?? "????"}] ${String(msg ?? "")}${fields.join("")}\n`;
}
