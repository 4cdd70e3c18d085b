/** The byte pump that every throughput figure uses, whatever carries the stream. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { TcpStream } from "../../packages/wg-userspace/src/io/sockets/tcp-stream.ts";

const CHUNK = new Uint8Array(64 * 1024).fill(0x5a);
/** Not counted, since windows and buffers grow during this time. */
const WARM_UP_MS = 500;
const FIRST_BYTE_WITHIN_MS = 20_000;

/** Writes for `seconds`, with back-pressure, then ends the stream. Returns how many bytes it wrote. */
export async function pour(stream: Duplex, seconds: number): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let bytes = 0;
  while (performance.now() < end) {
    bytes += CHUNK.length;
    if (!stream.write(CHUNK)) await once(stream, "drain");
  }
  stream.end();
  return bytes;
}

/** Reads to the end. The rate is Gbit/s of payload as the receiver sees it after the warm-up. */
export async function drainRate(stream: Duplex): Promise<{ readonly gbitPerSecond: number; readonly bytes: number }> {
  let [firstAt, countedFrom, counted, lastAt, bytes] = [0, 0, 0, 0, 0];
  stream.on("data", (chunk: Uint8Array) => {
    lastAt = performance.now();
    bytes += chunk.length;
    if (firstAt === 0) firstAt = lastAt;
    if (countedFrom > 0) counted += chunk.length;
    else if (lastAt - firstAt >= WARM_UP_MS) countedFrom = lastAt;
    if (stream instanceof TcpStream) stream.giveBack(chunk); // as any code that forwards the stream does
  });
  await once(stream, "end");
  return { gbitPerSecond: (counted * 8) / (lastAt - countedFrom) / 1e6, bytes };
}

/** Writes as much as the stream accepts, until it is destroyed. */
export function flood(stream: Duplex): void {
  stream.on("error", () => undefined); // the receiver destroys it after the measurement
  const fill = (): void => {
    while (!stream.destroyed && stream.write(CHUNK));
  };
  stream.on("drain", fill);
  fill();
}

/**
 * Gbit/s of payload between `warmUpSeconds` and `seconds` after the first byte. Then the stream is destroyed: on a slow
 * path its buffered data could take minutes to arrive.
 */
export async function sampleRate(stream: Duplex, warmUpSeconds: number, seconds: number): Promise<number> {
  let bytes = 0;
  stream.on("data", (chunk: Uint8Array) => {
    bytes += chunk.length;
  });
  await once(stream, "data", { signal: AbortSignal.timeout(FIRST_BYTE_WITHIN_MS) });
  let failure: Error | undefined;
  stream.on("error", (error) => {
    failure = error;
  });
  await sleep(warmUpSeconds * 1000);
  const [before, from] = [bytes, performance.now()];
  await sleep((seconds - warmUpSeconds) * 1000);
  const rate = ((bytes - before) * 8) / (performance.now() - from) / 1e6;
  if (stream.destroyed || stream.readableEnded) throw failure ?? new Error("the stream ended while it was measured");
  stream.destroy();
  return rate;
}
