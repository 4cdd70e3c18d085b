/** The data that the bulk tests send, and how its bytes are compared. */
import { createHash, randomBytes } from "node:crypto";

export const bulkData = randomBytes(3_000_000);
export const bulkHash = hashOf(bulkData);

export function hashOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
