import type { Readable, Writable } from "node:stream";
import { lenderOf } from "./owned-buffers.ts";

/**
 * Like `source.pipe(sink)`, but each chunk goes back to its source when the sink has written it (owned-buffers.ts), so that a
 * fast stream makes no garbage.
 * @param source Must have no other reader.
 * @param sink A socket, a pipe, a file, a channel: something that keeps no chunk after its write callback, as a PassThrough
 * would.
 * @param options `end: false` leaves the sink open when the source ends.
 * @returns the equivalent of `source.unpipe(sink)`; safe to call twice.
 */
export function ownedPipe(source: Readable, sink: Writable, options: { readonly end?: boolean } = {}): () => void {
  const giveBack = lenderOf(source);
  let stopped = false;
  const take = (chunk: Uint8Array): void => {
    const written =
      giveBack === undefined
        ? undefined
        : (error?: Error | null): void => {
            if (!error) giveBack(chunk);
          };
    if (!sink.write(chunk, written)) source.pause();
  };
  const resume = (): void => void source.resume();
  const end = (): void => void sink.end();
  const stop = (): void => {
    if (stopped) return;
    stopped = true;
    source.off("data", take);
    source.off("end", end);
    sink.off("drain", resume);
    sink.off("finish", stop);
    sink.off("close", stop);
    source.pause();
  };
  sink.on("drain", resume);
  sink.once("finish", stop);
  sink.once("close", stop);
  if (options.end !== false) source.once("end", end);
  source.on("data", take);
  if (!sink.writableNeedDrain) source.resume(); // a listener alone does not resume a paused stream
  return stop;
}
