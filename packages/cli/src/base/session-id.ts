import { randomBytes } from "node:crypto";
import { isSessionId } from "coder-protocol/session-id";
import { say } from "./say.ts";

const VARIABLE = "CODER_TRACE_SESSION_ID";

let current: string | undefined;

/** The session id of this process: the one set by the editor that started it, unchanged, or a fresh one. */
export function clientSessionId(environment: NodeJS.ProcessEnv = process.env): string {
  current ??= resolveSessionId(environment);
  return current;
}

export function resolveSessionId(environment: NodeJS.ProcessEnv, warn: (text: string) => void = say): string {
  const given = environment[VARIABLE] ?? "";
  if (given === "") return randomBytes(16).toString("hex");
  if (!isSessionId(given)) {
    warn(`warning: ${VARIABLE} is not 32 lower-case hexadecimal digits; servers and agents will not log it`);
  }
  return given;
}
