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
  if (given === "") return freshId();
  if (!isSessionId(given)) {
    warn(`warning: ${VARIABLE} is not 32 lower-case hexadecimal digits; servers and agents will not log it`);
  }
  return given;
}

/**
 * It is no secret and proves nothing, so the generator of the language will do: Node seeds it for each process from the
 * system's entropy, and loading node:crypto takes a quarter of a start of Node.
 */
function freshId(): string {
  const quarters = Array.from({ length: 4 }, () => Math.floor(Math.random() * 2 ** 32));
  return quarters.map((quarter) => quarter.toString(16).padStart(8, "0")).join("");
}
