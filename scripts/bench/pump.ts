/** The byte pump that every throughput figure uses, whatever carries the stream. */
import { once } from "node:events";
import type { Duplex } from "node:stream";

const CHUNK = new Uint8Array(64 * 1024).fill(0x5a);
/** Windows and buffers grow during this time: not counted. */
const WARM_UP_MS = 500;

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
  });
  await once(stream, "end");
  return { gbitPerSecond: (counted * 8) / (lastAt - countedFrom) / 1e6, bytes };
}
