import { once } from "node:events";
import { Worker } from "node:worker_threads";

export interface FileHashes {
  readonly sha1: string;
  readonly sha256: string;
}

/** Plain JavaScript, because it is compiled at run time: a bundle or a single executable has no second file to load. */
const SOURCE = `
const { parentPort, workerData } = require("node:worker_threads");
const { createHash } = require("node:crypto");
const { readSync } = require("node:fs");
const hashes = [createHash("sha1"), createHash("sha256")];
const buffer = Buffer.allocUnsafe(1 << 20);
let at = 0;
while (at < workerData.size) {
  const count = readSync(workerData.fd, buffer, 0, Math.min(buffer.length, workerData.size - at), at);
  if (count === 0) throw new Error("the file became shorter while it was read");
  for (const hash of hashes) hash.update(buffer.subarray(0, count));
  at += count;
}
parentPort.postMessage(hashes.map((hash) => hash.digest("hex")));
`;

/**
 * Hashes the first `size` bytes of an open file, which stays open. Runs in a thread of its own, because a hundred megabytes would
 * delay the relay by half a second.
 */
export async function hashFile(fd: number, size: number): Promise<FileHashes> {
  const worker = new Worker(SOURCE, { eval: true, execArgv: [], workerData: { fd, size } });
  try {
    const [[sha1, sha256]] = (await once(worker, "message")) as [[string, string]];
    return { sha1, sha256 };
  } finally {
    await worker.terminate();
  }
}
