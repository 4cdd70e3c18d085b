/** The byte pump that every throughput figure uses, whatever carries the stream. */
import { once } from "node:events";
import type { Duplex } from "node:stream";

const CHUNK = new Uint8Array(64 * 1024).fill(0x5a);
/** Windows and buffers grow during this time: not counted. */
const WARM_UP_MS = 500;

/** Writes for `seconds`, with back-pressure, then ends the stream. */
export async function pour(stream: Duplex, seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    if (!stream.write(CHUNK)) await once(stream, "drain");
  }
  stream.end();
}

/** Reads to the end and returns Gbit/s of payload, measured by the receiver after the warm-up. */
export async function drainRate(stream: Duplex): Promise<number> {
  let [firstAt, countedFrom, counted, lastAt] = [0, 0, 0, 0];
  stream.on("data", (chunk: Uint8Array) => {
    lastAt = performance.now();
    if (firstAt === 0) firstAt = lastAt;
    if (countedFrom > 0) counted += chunk.length;
    else if (lastAt - firstAt >= WARM_UP_MS) countedFrom = lastAt;
  });
  await once(stream, "end");
  return (counted * 8) / (lastAt - countedFrom) / 1e6;
}
