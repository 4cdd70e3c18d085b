import { constants } from "node:os";

/** Some numbers have an older name as well, which comes second: SIGIOT after SIGABRT, SIGPOLL after SIGIO. */
const NAMES = new Map(
  Object.entries(constants.signals)
    .reverse()
    .map(([name, number]) => [number as number, name]),
);
/** The first that programs may use; the C libraries keep those from 32 on for themselves. */
const FIRST_REAL_TIME = 34;

/** A name for every signal, real-time ones included: `SIGTERM`, `SIGRTMIN+3`. */
export function signalName(number: number): string {
  const name = NAMES.get(number);
  if (name !== undefined) return name;
  return number < FIRST_REAL_TIME ? `SIG${number}` : `SIGRTMIN+${number - FIRST_REAL_TIME}`;
}
