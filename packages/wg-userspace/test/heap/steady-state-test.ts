import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";

/** The smallest object of V8: two words. */
const SMALLEST_OBJECT_BYTES = 16;
/** Were one allocated for each of these, it would be a chunk of 64 KiB. */
const CHUNKS = 8;

interface Measured {
  readonly bytesPerPacket: number;
  readonly collections: number;
  readonly arrayBufferBytes: number;
}

async function measure(way: "direct" | "relay"): Promise<Measured> {
  const flags = ["--expose-gc", "--min-semi-space-size=128", "--max-semi-space-size=128"];
  const program = join(import.meta.dirname, "steady-state.ts");
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program, way], { timeout: 110_000 });
  return JSON.parse(stdout) as Measured;
}

/** Fails when a bulk stream leaves an object per packet on the heap. */
export async function expectNoGarbage(way: "direct" | "relay"): Promise<void> {
  const measured = await measure(way);
  expect(measured.collections).toBe(0); // otherwise the difference says nothing
  expect(measured.bytesPerPacket).toBeLessThan(SMALLEST_OBJECT_BYTES);
  expect(measured.arrayBufferBytes).toBeLessThan(CHUNKS * 65536);
}
