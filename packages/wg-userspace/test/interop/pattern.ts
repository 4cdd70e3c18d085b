/** Test data that both ends can generate: the same bytes for the same length, no two blocks alike. */
import { createHash } from "node:crypto";

const BLOCK_BYTES = 64 * 1024;

export function* patternBytes(length: number): Generator<Buffer> {
  for (let at = 0; at < length; at += BLOCK_BYTES) {
    const block = Buffer.alloc(Math.min(BLOCK_BYTES, length - at));
    for (let i = 0; i + 4 <= block.length; i += 4) block.writeUInt32LE(Math.imul(at + i + 1, 0x9e3779b1) >>> 0, i);
    yield block;
  }
}

export function sha256OfPattern(length: number): string {
  const hash = createHash("sha256");
  for (const block of patternBytes(length)) hash.update(block);
  return hash.digest("hex");
}
