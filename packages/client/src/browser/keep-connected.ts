/** A connection that is dialed again for as long as it is wanted, with growing pauses. */
import { sleep } from "wg-userspace/async/abort";
import { Backoff } from "../base/backoff.ts";

/** After a connection that lasted so long the pauses begin again with the shortest. */
const GOOD_CONNECTION_MS = 10_000;
const FIRST_PAUSE_MS = 100;

export interface KeptConnection {
  /** Connects, and settles when the connection has ended: with the reason, or an error that is the reason. */
  readonly connect: () => Promise<string>;
  readonly onLost: (reason: string) => void;
  /** The longest pause. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

/** Runs until aborted. Never rejects. */
export async function keepConnected({ connect, onLost, limitMs, signal }: KeptConnection): Promise<void> {
  const backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, limitMs });
  while (!signal.aborted) {
    const startedAt = performance.now();
    const reason = await connect().catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    if (signal.aborted) return;
    onLost(reason);
    if (performance.now() - startedAt > GOOD_CONNECTION_MS) backoff.reset();
    await sleep(backoff.next(), signal).catch(() => undefined); // aborted: the loop's condition ends it
  }
}
