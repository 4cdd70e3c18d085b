/** A connection that is dialed again for as long as it is wanted, with growing pauses. */
import { sleep } from "wg-userspace/async/abort";
import { Redial } from "../base/redial.ts";

export interface KeptConnection {
  /**
   * Connects, calls `onOpened` when the connection stands, and settles when it has ended: with the reason, or an error that is
   * the reason.
   */
  readonly connect: (onOpened: () => void) => Promise<string>;
  readonly onLost: (reason: string) => void;
  /** The longest pause. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

/** Runs until aborted. Never rejects. */
export async function keepConnected({ connect, onLost, limitMs, signal }: KeptConnection): Promise<void> {
  const redial = new Redial({ limitMs });
  while (!signal.aborted) {
    const reason = await connect(() => redial.opened(performance.now())).catch((error: unknown) =>
      error instanceof Error ? error.message : String(error),
    );
    const pauseMs = redial.ended(performance.now());
    if (signal.aborted) return;
    onLost(reason);
    await sleep(pauseMs, signal).catch(() => undefined); // aborted: the loop's condition ends it
  }
}
