/** Calls `work` every `everyMs` while the page is visible, and when it becomes visible again, until the signal aborts. */
export function poll(work: () => void, everyMs: number, life: AbortSignal): void {
  const timer = setInterval(() => {
    if (document.visibilityState === "visible") work();
  }, everyMs);
  life.addEventListener("abort", () => clearInterval(timer));
  document.addEventListener(
    "visibilitychange",
    () => {
      if (document.visibilityState === "visible") work();
    },
    { signal: life },
  );
}
