import { signal } from "@preact/signals";

/** The time from which relative times are computed; moves every 15 s. */
export const now = signal(Date.now());

export function startClock(): void {
  setInterval(() => {
    now.value = Date.now();
  }, 15_000);
}
