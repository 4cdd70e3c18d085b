/** Notices when the other end has not been heard for a while, and when it is heard again. */

export interface LivenessTarget {
  /** Since the peer's last packet, in ms; undefined before the first. */
  heardAgeMs(): number | undefined;
  /** Makes the peer say something; may reject. */
  ping(options: { readonly signal: AbortSignal }): Promise<unknown>;
}

export interface LivenessOptions {
  readonly target: LivenessTarget;
  /** A peer that was not heard for this long is asked. */
  readonly askAfterMs: number;
  /** A peer that was not heard for this long counts as silent. More than `askAfterMs`, by a good round trip. */
  readonly silentAfterMs: number;
  readonly onSilent: (forMs: number) => void;
  /** Once after each silence. */
  readonly onHeard: (afterMs: number) => void;
}

/** While the peer is asked or silent. */
const LOOK_EVERY_MS = 1_000;

/** Looks when the peer may have been silent for long enough, and every second from then on. Returns the way to stop. */
export function watchLiveness(options: LivenessOptions): () => void {
  const { target } = options;
  let silentSince: number | undefined;
  let asking: AbortController | undefined;
  const ask = async (): Promise<void> => {
    const question = new AbortController();
    asking = question;
    const late = setTimeout(() => question.abort(), options.silentAfterMs);
    late.unref();
    // An answer shows in the age; that none came is what the age says, too.
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
