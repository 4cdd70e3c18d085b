/** Keeps a connection up until aborted: redials it with growing pauses. */
import { sleep } from "wg-userspace/async/abort";
import { Redial } from "../base/redial.ts";

export interface KeptConnection {
  /**
   * Connects, calls `onOpened` once connected, and settles when the connection ends: resolves with the reason, or rejects with an
   * error.
   */
  readonly connect: (onOpened: () => void) => Promise<string>;
  readonly onLost: (reason: string) => void;
  /** The longest pause, in ms. */
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
