/**
 * Preloaded into the process under test (`node --import`): reports the delays of its event loop over the IPC channel.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";

/** The sampling timer's own interval must not count as delay. */
const RESOLUTION_MS = 20;

const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delays.enable();
process.on("message", (what) => {
  if (what === "reset") delays.reset();
  const lagMs = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  process.send?.({ lagP99Ms: lagMs(delays.percentile(99)), lagMaxMs: lagMs(delays.max) });
});
// The channel alone must not keep the process alive.
process.channel?.unref();
