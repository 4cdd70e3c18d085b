import { setFlagsFromString } from "node:v8";

/**
 * Every read from a socket allocates memory, so a busy relay makes V8 mark its heap dozens of times a second. The heap is small,
 * so sharing that work with helper threads doubles the CPU time of a relayed packet and takes cores away from other work, whereas
 * incremental marking on the main thread costs little. Call at the start of the process.
 */
export function markOnMainThread(): void {
  setFlagsFromString("--no-concurrent-marking");
}
