import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { UsageError } from "../errors/usage-error.ts";

const REPLACEMENT = "\ufffd";

/**
 * Node reads arguments as UTF-8 and replaces all other bytes, so another command than the one that was typed would run. Throws
 * UsageError for such words, where the system tells (Linux).
 * @param cmdline The arguments as bytes, undefined where they are unknown.
 */
export function refuseReplacedBytes(words: readonly string[], cmdline = ownCommandLine()): void {
  if (!words.some((word) => word.includes(REPLACEMENT)) || cmdline === undefined || isUtf8(cmdline)) return;
  throw new UsageError(
    "the command is not UTF-8, and would reach the workspace changed: pass it on standard input, or run it by ssh (coder config-ssh)",
  );
}

function ownCommandLine(): Uint8Array | undefined {
  try {
    return readFileSync("/proc/self/cmdline");
  } catch {
    return undefined; // not Linux, or without /proc
  }
}
