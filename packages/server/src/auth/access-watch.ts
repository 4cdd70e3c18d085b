import type { Logger } from "../base/log.ts";
import { type AccessEvent, type AccessEvents, type DecidedHolder, endsAccess } from "./access-events.ts";
import type { Authenticator } from "./authenticator.ts";

export interface AccessWatchOptions {
  readonly events: AccessEvents;
  readonly authenticator: Pick<Authenticator, "stillHolds">;
  /** How often access is checked in addition to the events. */
  readonly recheckMs: number;
  readonly log: Logger;
}

export interface AccessWatcher {
  /** Called once access has ended. */
  lost(): void;
  /** Called after a check that found access still valid. */
  held?(): void;
  /** Events that do not end this access although they end similar access. */
  ignores?(event: AccessEvent): boolean;
}

/** Watches the access that open sockets depend on, by events and by periodic checks. */
export class AccessWatch {
  readonly #options: AccessWatchOptions;

  constructor(options: AccessWatchOptions) {
    this.#options = options;
  }

  /**
   * Returns a function that stops the watch. A right that ended while it was being decided is lost in the same turn, after this
   * has returned. A check that fails is logged and has no other effect.
   */
  start(holder: DecidedHolder, watcher: AccessWatcher): () => void {
    const { events, authenticator, recheckMs, log } = this.#options;
    let stopped = false;
    const ends = (event: AccessEvent): boolean => watcher.ignores?.(event) !== true && endsAccess(event, holder);
    const unsubscribe = events.subscribe((event) => {
      if (ends(event)) watcher.lost();
    });
    const check = (): void => {
      authenticator.stillHolds(holder).then(
        (holds) => {
          if (stopped) return;
          if (holds) watcher.held?.();
          else watcher.lost();
        },
        (error: unknown) => log.error({ err: error }, "checking the access of an open connection failed"),
      );
    };
    // Events that came before this line had no listener here.
    const missed = events.since(holder.decidedAfter);
    if (missed === undefined) check();
    else if (missed.some(ends))
      queueMicrotask(() => {
        if (!stopped) watcher.lost();
      });
    const timer = setInterval(check, recheckMs);
    timer.unref();
    return () => {
      stopped = true;
      clearInterval(timer);
      unsubscribe();
    };
  }
}
