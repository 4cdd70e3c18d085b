/** Milliseconds on a monotonic clock with an arbitrary zero. Cores receive it; they never read a clock. */
export type Instant = number & { readonly __brand: "Instant" };

export function instant(ms: number): Instant {
  return ms as Instant;
}

export function addMs(at: Instant, ms: number): Instant {
  return (at + ms) as Instant;
}

/** The earlier of two deadlines, where undefined means "never". */
export function earliest(a: Instant | undefined, b: Instant | undefined): Instant | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return a < b ? a : b;
}
