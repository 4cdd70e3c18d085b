import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { FrameType } from "./frame.ts";
import { FrameQueue, SegmentPool } from "./frame-queue.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** The memory of a chunk that was taken from a queue and never given back, as when its transport failed. */
function lost(pool: SegmentPool): WeakRef<ArrayBufferLike> {
  const queue = new FrameQueue(100, 1 << 20, pool);
  queue.pushPacket(FrameType.recvPacket, new Uint8Array(32), new Uint8Array(1_400), 0, 1_400);
  const chunk = queue.take(64 * 1024)!;
  queue.clear();
  return new WeakRef(chunk.buffer);
}

it("a chunk that is never given back is not kept", async () => {
  const pool = new SegmentPool();
  const chunks = Array.from({ length: 100 }, () => lost(pool));
  await new Promise(setImmediate); // the target of a new WeakRef lives until its turn ends
  collectGarbage();
  expect(chunks.filter((chunk) => chunk.deref() !== undefined)).toEqual([]);
  pool.giveBack(new Uint8Array(1)); // the pool itself still exists
});
