/** Preloaded into the process under test (`node --import`): answers over the IPC channel how its event loop fares. */
import { monitorEventLoopDelay } from "node:perf_hooks";

/** The timer that measures must not be what is measured. */
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
