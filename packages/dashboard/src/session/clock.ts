import { signal } from "@preact/signals";

/** The time from which relative times are computed; updated every 15 s. */
export const now = signal(Date.now());

export function startClock(): void {
  setInterval(() => {
    now.value = Date.now();
  }, 15_000);
}
