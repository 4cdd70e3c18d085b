import type { Logger } from "./log.ts";

export interface StopOptions {
  /** Ends the work when aborted, in addition to SIGINT and SIGTERM. */
  readonly signal: AbortSignal | undefined;
  /** Called on SIGHUP, which otherwise has no effect. */
  readonly onHangUp: () => void;
  readonly log: Logger;
}

/** Runs `work` with a signal that aborts on SIGINT and SIGTERM. A second such signal ends the process at once. */
export async function untilStopped(options: StopOptions, work: (ended: AbortSignal) => Promise<void>): Promise<void> {
  const { signal, onHangUp, log } = options;
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (stop.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143);
    log.info({ signal: name }, "stopping");
    stop.abort();
  };
  const hangUp = (): void => onHangUp();
  process.on("SIGHUP", hangUp);
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  try {
    await work(signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]));
  } finally {
    process.off("SIGHUP", hangUp);
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}
