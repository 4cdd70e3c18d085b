/** Runs a function once, later. The returned function cancels it. */
export type Schedule = (run: () => void, afterMs: number) => () => void;

/** The process's timers; a pending one does not keep the process alive. */
export const schedule: Schedule = (run, afterMs) => {
  const timer = setTimeout(run, afterMs);
  timer.unref();
  return () => clearTimeout(timer);
};
