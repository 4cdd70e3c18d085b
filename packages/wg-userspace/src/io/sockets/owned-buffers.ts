/**
 * Memory of chunks whose owner knows that nothing reads them any more. V8 counts the memory of every ArrayBuffer and
 * collects everything for each few megabytes of it, so a bulk path that leaves its chunks to the collector spends more
 * on marking than on the bytes.
 *
 * The rule: a chunk has one owner at a time. A stream that emits it passes it to the only reader; the reader passes it
 * to the sink that it writes to; the sink passes it back in the write callback, and keeps no view of it. Then the
 * reader, the last owner, may give it back. A chunk that is never given back is merely collected later.
 */
import { ReadStream } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";

/** Below this size detaching costs more than it saves; Node takes its buffers from a shared pool. */
const MIN_BYTES = 4096;

/** A stream that takes back the chunks that it emitted. */
export interface LendingStream {
  /** The chunk is no longer read. */
  giveBack(chunk: Uint8Array): void;
}

/** Whether a stream has copied what was written when its callback comes, so that the memory is the writer's again. */
export function copiesWrites(sink: Writable): boolean {
  return (sink as { readonly copiesWrites?: boolean }).copiesWrites === true;
}

/**
 * Detaches the chunk's ArrayBuffer, which frees its memory at once; later reads find a length of 0. Does nothing unless
 * the chunk is a view of the whole buffer: what is pooled, shared or a part of something else is left alone. However little a
 * chunk leaves of its buffer, Node may read another socket into the rest, and the process ends with an exception out of its
 * own code if that is gone.
 */
export function freeWhole(chunk: Uint8Array): void {
  const { buffer } = chunk;
  if (chunk.byteLength < MIN_BYTES || chunk.byteLength !== buffer.byteLength) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** How chunks of a stream are given back; undefined when they may be in use elsewhere. */
export function lenderOf(source: Readable): ((chunk: Uint8Array) => void) | undefined {
  if (isLending(source)) return (chunk) => source.giveBack(chunk);
  // What they read has no other reader, but the rest of its memory may: Node reads other sockets into it, TLS above all.
  return source instanceof Socket || source instanceof ReadStream ? freeWhole : undefined;
}

function isLending(stream: unknown): stream is LendingStream {
  return typeof (stream as Partial<LendingStream>).giveBack === "function";
}
