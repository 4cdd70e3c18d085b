import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { breakOff } from "./break-off.ts";
import { ownedPipe } from "./owned-pipe.ts";

/**
 * Like `pipeline(source, sink)` of node:stream/promises: everything in order, with back-pressure; an error or early end of either
 * breaks both off and rejects. Chunks go back to the source as in {@link ownedPipe}, whose conditions hold for both streams.
 * @param options `end: false` leaves the sink open; `signal` destroys both.
 */
export async function drainInto(
  source: Readable,
  sink: Writable,
  options: { readonly end?: boolean; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const over = new AbortController();
  const signal = options.signal === undefined ? over.signal : AbortSignal.any([over.signal, options.signal]);
  const sinkDone = finished(sink, { readable: false, signal, cleanup: true });
  sinkDone.catch(() => undefined); // awaited below, or no longer of interest
  let stop: (() => void) | undefined;
  try {
    const sourceDone = finished(source, { writable: false, signal, cleanup: true });
    stop = ownedPipe(source, sink, { end: false });
    await Promise.race([sourceDone, sinkDone]);
    sourceDone.catch(() => undefined);
    if (!source.readableEnded) throw new Error("the sink ended before the source");
    if (options.end !== false) {
      sink.end();
      await sinkDone;
    }
  } catch (error) {
    breakOff(source);
    breakOff(sink);
    throw error;
  } finally {
    over.abort();
    stop?.();
  }
}
