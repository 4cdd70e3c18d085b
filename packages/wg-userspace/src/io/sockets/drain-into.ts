import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { TcpStream } from "./tcp-stream.ts";

/**
 * As `pipeline(source, sink)` of node:stream/promises: everything in order, with back-pressure; an error or early end of either destroys both
 * and rejects. Chunks of a stream of the tunnel go back to it when the sink has written them, so that a fast stream makes no garbage.
 * @param sink A socket, a pipe, a file: something that keeps no chunk after its write callback. A PassThrough does.
 * @param options `end: false` leaves the sink open; `signal` destroys both.
 */
export async function drainInto(
  source: Readable,
  sink: Writable,
  options: { readonly end?: boolean; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const over = new AbortController();
  const signal = options.signal === undefined ? over.signal : AbortSignal.any([over.signal, options.signal]);
  const tunnel = source instanceof TcpStream ? source : undefined;
  const take = (chunk: Uint8Array): void => {
    const written = (error?: Error | null): void => {
      if (!error) tunnel?.giveBack(chunk);
    };
    if (!sink.write(chunk, written)) source.pause();
  };
  const resume = (): void => void source.resume();
  const sinkDone = finished(sink, { readable: false, signal, cleanup: true });
  sinkDone.catch(() => undefined); // heard below, or of no interest any more
  try {
    const sourceDone = finished(source, { writable: false, signal, cleanup: true });
    sink.on("drain", resume);
    source.on("data", take);
    source.resume(); // a listener alone does not start a stream that was paused
    await Promise.race([sourceDone, sinkDone]);
    sourceDone.catch(() => undefined);
    if (!source.readableEnded) throw new Error("the sink ended before the source");
    if (options.end !== false) {
      sink.end();
      await sinkDone;
    }
  } catch (error) {
    source.destroy();
    sink.destroy();
    throw error;
  } finally {
    over.abort();
    source.off("data", take);
    sink.off("drain", resume);
  }
}
