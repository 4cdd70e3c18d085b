import { libc } from "../os/libc.ts";
import { threadShares } from "./thread-shares.ts";

/**
 * Call this once, when nothing is left to do. Node waits for the threads of its pool before it exits, so that a file system which
 * does not answer would keep the process running.
 */
export function exitPastThreads(): void {
  process.once("exit", (code) => {
    if (!threadShares().isBusy) return;
    const library = libc();
    if (!(library instanceof Error)) library.exit(code);
  });
}
