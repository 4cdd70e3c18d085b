/** A connection of the engine as a pair of web streams, with back-pressure both ways. */
import { onAbort } from "wg-userspace/async/abort";
import type { EngineError } from "wg-userspace/base/errors";
import type { TcpConnection } from "wg-userspace/netstack/stack";
import type { DuplexStream } from "../connection/tunnel-fetch.ts";

/** Resolves when the remote end has accepted. Rejects with EngineError, or `signal.reason`. */
export function openStream(connection: TcpConnection, wake: () => void, signal?: AbortSignal): Promise<DuplexStream> {
  const { promise, resolve, reject } = Promise.withResolvers<DuplexStream>();
  let pulled: (() => void) | undefined;
  let drained: ((error?: unknown) => void) | undefined;
  let over: { readonly error: EngineError | undefined } | undefined;
  let peerEnded = false;

  const abort = (): void => {
    if (connection.open) connection.abort();
    wake();
  };
  const readable = new ReadableStream<Uint8Array>({
    async pull(controller) {
      for (;;) {
        if (enqueueChunk(connection, controller)) {
          wake();
          return;
        }
        if (peerEnded || over !== undefined) {
          if (over?.error === undefined) controller.close();
          else controller.error(over.error);
          return;
        }
        await new Promise<void>((done) => {
          pulled = done;
        });
      }
    },
    cancel: abort,
  });
  const writable = new WritableStream<Uint8Array>({
    async write(chunk) {
      for (let rest = chunk; rest.length > 0; ) {
        if (over !== undefined) throw over.error ?? new Error("the connection is closed");
        const accepted = connection.write(rest);
        wake();
        rest = rest.subarray(accepted);
        if (rest.length === 0) return;
        await new Promise<void>((done) => {
          drained = () => done();
        });
      }
    },
    close() {
      connection.end();
      wake();
    },
    abort,
  });
  const advance = (): void => {
    pulled?.();
    pulled = undefined;
    drained?.();
    drained = undefined;
  };
  const aborted = (): void => {
    abort();
    reject(signal?.reason);
  };
  const stopWatching = signal && onAbort(signal, aborted);
  connection.handler = {
    onConnected: () => {
      stopWatching?.();
      resolve({ readable, writable, abort });
    },
    onReadable: advance,
    onWritable: advance,
    onEnd: () => {
      peerEnded = true;
      advance();
    },
    onClosed: (error) => {
      over = { error };
      reject(error ?? new Error("the connection ended before it was open"));
      advance();
    },
  };
  return promise;
}

/** Returns false if there is nothing to read. */
function enqueueChunk(connection: TcpConnection, into: ReadableStreamDefaultController<Uint8Array>): boolean {
  const chunk = connection.read();
  // Copied, because the engine reuses its memory.
  if (chunk !== undefined) into.enqueue(Uint8Array.from(chunk));
  return chunk !== undefined;
}
