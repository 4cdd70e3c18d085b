/**
 * The remote end of `coder speedtest` (port 3 of the tunnel). The client sends one JSON line with version, time in ns and
 * direction; the answer is `{}` or `{"error":"…"}` and a newline. The sending side then writes blocks of 2 MiB until the time is
 * over, and closes.
 */
import { randomFillSync } from "node:crypto";
import type { Duplex } from "node:stream";
import type { Logger } from "wg-userspace/base/ports";
import { lenderOf } from "wg-userspace/io/sockets/owned-buffers";

const VERSION = 2;
const BLOCK_BYTES = 2 * 1024 * 1024;
/** Bytes between checks whether the client still reads. */
const SLICE_BYTES = 64 * 1024;
/** Stock clients request 5 to 30 s, or less if the user asks for it. */
const MAX_DURATION_MS = 30_000;
const MAX_REQUEST_BYTES = 4096;
const REQUEST_TIMEOUT_MS = 15_000;
/** A test is aborted after this multiple of the requested time, plus a little for the last block. */
const PATIENCE = 4;
const LAST_BLOCK_MS = 30_000;
/** Several tests at once would measure each other. */
const MAX_TESTS = 4;
/** Connections at the same time, including those being refused. */
const MAX_CONNECTIONS = 32;

export interface SpeedtestServiceOptions {
  readonly logger: Logger;
  readonly maxTests?: number;
}

interface SpeedtestRequest {
  readonly durationMs: number;
  /** Whether the client is the receiver. */
  readonly download: boolean;
}

export class SpeedtestService {
  readonly #options: SpeedtestServiceOptions;
  readonly #open = new Set<Duplex>();
  #block: Uint8Array | undefined;

  constructor(options: SpeedtestServiceOptions) {
    this.#options = options;
  }

  /** Serves one connection of the tunnel; owns the stream. */
  handleConnection(stream: Duplex): void {
    if (this.#open.size >= MAX_CONNECTIONS) {
      stream.destroy();
      return;
    }
    stream.on("error", () => undefined); // "close" follows
    this.#open.add(stream);
    stream.once("close", () => this.#open.delete(stream));
    this.#serve(stream).catch((error: unknown) => {
      this.#options.logger.log("info", "speed test ended early", { error: String(error) });
      stream.destroy();
    });
  }

  async #serve(stream: Duplex): Promise<void> {
    const tooMany = this.#open.size > (this.#options.maxTests ?? MAX_TESTS);
    const limit = setTimeout(() => stream.destroy(), REQUEST_TIMEOUT_MS).unref();
    const line = await readLine(stream).finally(() => clearTimeout(limit));
    const request = tooMany ? { error: "too many speed tests are running here, try again later" } : parseRequest(line);
    if ("error" in request) {
      stream.resume();
      stream.end(`${JSON.stringify(request)}\n`);
      setTimeout(() => stream.destroy(), REQUEST_TIMEOUT_MS).unref();
      return;
    }
    const { durationMs, download } = request;
    const cutOff = setTimeout(() => stream.destroy(), durationMs * PATIENCE + LAST_BLOCK_MS).unref();
    stream.once("close", () => clearTimeout(cutOff));
    stream.write("{}\n");
    // The uploading client counts its data; here it only has to be drained.
    const giveBack = lenderOf(stream);
    stream.on("data", (chunk: Uint8Array) => giveBack?.(chunk));
    stream.resume();
    if (!download) {
      stream.once("end", () => stream.end());
      return;
    }
    await this.#send(stream, performance.now() + durationMs);
    stream.end();
  }

  /** Whole blocks only: receivers do not count a partial one. */
  async #send(stream: Duplex, until: number): Promise<void> {
    this.#block ??= randomFillSync(new Uint8Array(BLOCK_BYTES));
    do {
      for (let at = 0; at < BLOCK_BYTES; at += SLICE_BYTES) {
        if (!stream.write(this.#block.subarray(at, at + SLICE_BYTES))) await drained(stream);
      }
    } while (performance.now() < until);
  }
}

function parseRequest(line: string): SpeedtestRequest | { error: string } {
  let fields: { version?: unknown; time?: unknown; direction?: unknown } | null;
  try {
    fields = JSON.parse(line);
  } catch {
    return { error: "the request is not a JSON object" };
  }
  if (typeof fields !== "object" || fields === null) return { error: "the request is not a JSON object" };
  const { version, time, direction } = fields;
  if (version !== VERSION) return { error: `version mismatch: this agent speaks ${VERSION}, not ${String(version)}` };
  if (direction !== 0 && direction !== 1) return { error: "the direction is neither 0 (download) nor 1 (upload)" };
  if (typeof time !== "number" || !(time > 0) || time > MAX_DURATION_MS * 1e6)
    return { error: `the time is not more than 0 and at most ${MAX_DURATION_MS / 1000} seconds` };
  return { durationMs: time / 1e6, download: direction === 0 };
}

/** Reads the first line. What follows is test data, and is discarded. */
function readLine(stream: Duplex): Promise<string> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const read = (chunk: Uint8Array): void => {
      bytes = Buffer.concat([bytes, chunk.subarray(0, MAX_REQUEST_BYTES)]);
      const end = bytes.indexOf(0x0a);
      if (end < 0 && bytes.length < MAX_REQUEST_BYTES) return;
      stream.off("data", read);
      stream.off("close", closed);
      stream.off("end", closed);
      stream.pause();
      resolve(bytes.toString("utf8", 0, end < 0 ? bytes.length : end));
    };
    const closed = (): void => reject(new Error("the connection ended before the request was complete"));
    stream.on("data", read);
    stream.once("close", closed);
    stream.once("end", closed);
  });
}

function drained(stream: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      stream.off("drain", drain);
      stream.off("close", closed);
    };
    const drain = (): void => {
      settle();
      resolve();
    };
    const closed = (): void => {
      settle();
      reject(new Error("the client left"));
    };
    if (stream.destroyed) {
      reject(new Error("the client left"));
      return;
    }
    stream.once("drain", drain);
    stream.once("close", closed);
  });
}
