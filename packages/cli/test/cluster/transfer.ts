import type { ChildProcess } from "node:child_process";
import { createHash, type Hash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestCluster } from "./test-cluster.ts";

const CHUNK_BYTES = 64 << 10;
/** Bytes that only `finish` sends. */
const KEPT_BYTES = 20 << 20;

/** Random bytes that a session echoes: pieces at a time, until `finish` sends the rest. The returned bytes are hashed. */
export class Transfer {
  readonly #child: ChildProcess;
  readonly #sent = createHash("sha256");
  readonly #returned: Hash = createHash("sha256");
  #returnedBytes = 0;
  #leftBytes: number;
  #isPaced = true;
  #stderr = "";
  readonly #sending: Promise<void>;

  constructor(cluster: TestCluster, workspace: string, bytes: number, extra: NodeJS.ProcessEnv) {
    this.#leftBytes = bytes;
    this.#child = cluster.spawn(["ssh", workspace, "--", "cat"], extra);
    this.#child.stdout!.on("data", (chunk: Buffer) => {
      this.#returned.update(chunk);
      this.#returnedBytes += chunk.length;
    });
    this.#child.stderr!.on("data", (chunk) => {
      this.#stderr += String(chunk);
    });
    this.#sending = this.#send();
  }

  async #send(): Promise<void> {
    const stdin = this.#child.stdin!;
    while (this.#leftBytes > 0 && stdin.writable) {
      if (this.#isPaced && this.#leftBytes <= KEPT_BYTES) {
        await sleep(100);
        continue;
      }
      const chunk = randomBytes(Math.min(CHUNK_BYTES, this.#leftBytes));
      this.#leftBytes -= chunk.length;
      this.#sent.update(chunk);
      // It rejects when the command has ended; the exit code says how.
      if (!stdin.write(chunk)) await once(stdin, "drain").catch(() => undefined);
      if (this.#isPaced) await sleep(100);
    }
    stdin.end();
  }

  /** Sends the rest without a pause. Resolves with both hashes, which should be equal, and the number of bytes that came back. */
  async finish(): Promise<{ readonly sent: string; readonly returned: string; readonly bytes: number }> {
    this.#isPaced = false;
    const closed = this.#child.exitCode === null ? once(this.#child, "close") : undefined;
    await this.#sending;
    await closed;
    if (this.#child.exitCode !== 0) throw new Error(`the transfer ended with ${this.#child.exitCode}: ${this.#stderr}`);
    return { sent: this.#sent.digest("hex"), returned: this.#returned.digest("hex"), bytes: this.#returnedBytes };
  }
}
