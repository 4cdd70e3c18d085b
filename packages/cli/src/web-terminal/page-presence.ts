/** Whether a page is there, so that the command ends some time after the last one has gone. */

/** A page that is shown asks every few seconds, and one in the background keeps the socket of its terminal. */
export const ABSENCE_MS = 10 * 60_000;

export class PagePresence {
  /** Resolves once there was no page for {@link ABSENCE_MS}. */
  readonly absent: Promise<void>;
  readonly #resolve: () => void;
  readonly #timer: NodeJS.Timeout;
  #sockets = 0;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.absent = promise;
    this.#resolve = resolve;
    this.#timer = setTimeout(() => this.#late(), ABSENCE_MS);
  }

  /** A page has sent a request. */
  seen(): void {
    this.#timer.refresh();
  }

  /** Returns a function to call when the socket has closed. */
  opened(): () => void {
    this.#sockets++;
    let closed = false;
    return () => {
      if (closed) return;
      closed = true;
      this.#sockets--;
      this.seen();
    };
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #late(): void {
    if (this.#sockets === 0) this.#resolve();
    else this.#timer.refresh();
  }
}
