/**
 * The threads on which Node runs file operations and look-ups of names. There are four by default, and an operation on a network
 * mount whose server vanished holds its thread for as long as the mount waits, so four such operations would stop both for
 * everyone.
 */
import { readdirSync, stat } from "node:fs";

const VARIABLE = "UV_THREADPOOL_SIZE";
/** An idle thread costs a few kilobytes. */
const WIDE = 64;
const DEFAULT = 4;
/** libuv accepts no more (threadpool.c, MAX_THREADPOOL_SIZE). */
const MAX = 1_024;

let widened: number | undefined;

/**
 * Gives this process 64 threads, unless the operator chose a number. Call it first of all, since the pool keeps the size with which
 * it starts. The variable is removed again, so that programs of the workspace have the usual number.
 */
export function widenThreadPool(): void {
  // On Windows the C library has read its variables already.
  if (process.env[VARIABLE] !== undefined || process.platform === "win32") return;
  const before = threads();
  process.env[VARIABLE] = String(WIDE);
  try {
    stat("/", () => undefined); // starts the pool, which reads the variable at once
  } finally {
    delete process.env[VARIABLE];
  }
  const after = threads();
  const started = before === undefined || after === undefined || after - before >= WIDE;
  if (started) widened = WIDE;
}

/** The number of threads of the pool. */
export function threadPoolSize(): number {
  if (widened !== undefined) return widened;
  const given = Number(process.env[VARIABLE] ?? DEFAULT);
  return Number.isInteger(given) && given > 0 ? Math.min(given, MAX) : 1; // as libuv reads it
}

/** All threads of this process; undefined where the system does not list them. */
function threads(): number | undefined {
  try {
    return readdirSync("/proc/self/task").length;
  } catch {
    return undefined;
  }
}
