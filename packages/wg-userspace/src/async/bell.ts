import { abortable } from "./abort.ts";

/**
 * Wakes all who wait for the next occasion. A wait that its signal ends leaves nothing behind, unlike one for a promise of a later
 * occasion, which keeps all that its waiter holds until that occasion comes.
 */
export class Bell {
  readonly #waiting = new Set<() => void>();

  /** The number of those who wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  ring(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves at the next ring. Rejects with `signal.reason` when that comes first. */
  next(signal: AbortSignal): Promise<void> {
    return abortable<void>(signal, (resolve) => {
      const wake = (): void => resolve();
      this.#waiting.add(wake);
      return () => void this.#waiting.delete(wake);
    });
  }
}
