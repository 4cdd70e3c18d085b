import { setFlagsFromString } from "node:v8";

/**
 * Every read of a socket allocates memory, so a busy relay makes V8 mark its heap dozens of times a second. The heap is small:
 * sharing that work with helper threads doubles the CPU time of a relayed packet and takes the other cores from other work. In
 * steps on the main thread it hardly shows. Call at the start of the process.
 */
export function markOnMainThread(): void {
  setFlagsFromString("--no-concurrent-marking");
}
