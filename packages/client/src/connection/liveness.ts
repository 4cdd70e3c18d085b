/** Notices when the peer has not been heard for a while, and when it is heard again. */

export interface LivenessTarget {
  /** Time since the peer's last packet, in ms; undefined before the first. */
  heardAgeMs(): number | undefined;
  /** Makes the peer send something; may reject. */
  ping(options: { readonly signal: AbortSignal }): Promise<unknown>;
}

export interface LivenessOptions {
  readonly target: LivenessTarget;
  /** A peer is pinged when nothing was heard from it for this long. */
  readonly askAfterMs: number;
  /** A peer counts as silent when nothing was heard from it for this long: `askAfterMs` plus an ample round trip. */
  readonly silentAfterMs: number;
  readonly onSilent: (forMs: number) => void;
  /** Called once at the end of each silence. */
  readonly onHeard: (afterMs: number) => void;
}

/** Check interval while the peer is being pinged or is silent. */
const LOOK_EVERY_MS = 1_000;

/** Checks when the peer may have been silent for long enough, and then every second. Returns a function that stops it. */
export function watchLiveness(options: LivenessOptions): () => void {
  const { target } = options;
  let silentSince: number | undefined;
  let asking: AbortController | undefined;
  const ask = async (): Promise<void> => {
    const question = new AbortController();
    asking = question;
    const late = setTimeout(() => question.abort(), options.silentAfterMs);
    late.unref();
    // Whether the ping was answered shows in the age.
    await target.ping({ signal: question.signal }).catch(() => undefined);
    clearTimeout(late);
    if (asking === question) asking = undefined;
  };
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    const age = target.heardAgeMs();
    judge(age);
    const quietMs = age === undefined ? 0 : options.askAfterMs - age;
    timer = setTimeout(look, quietMs > 0 ? Math.ceil(quietMs) + 1 : LOOK_EVERY_MS);
    timer.unref();
  };
  const judge = (age: number | undefined): void => {
    if (age === undefined) return;
    if (age >= options.askAfterMs && asking === undefined) void ask();
    if (silentSince === undefined && age >= options.silentAfterMs) {
      silentSince = performance.now() - age;
      options.onSilent(age);
    } else if (silentSince !== undefined && age < options.askAfterMs) {
      const afterMs = performance.now() - age - silentSince;
      silentSince = undefined;
      options.onHeard(afterMs);
    }
  };
  timer = setTimeout(look, LOOK_EVERY_MS);
  timer.unref();
  return () => {
    clearTimeout(timer);
    asking?.abort();
  };
}
