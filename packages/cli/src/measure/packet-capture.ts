/** Writes IP packets to a file that Wireshark opens: pcap 2.4, little-endian, link type 101 (raw IP), microseconds. */
import { createWriteStream, type WriteStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { UserError } from "../errors/user-error.ts";

const LINKTYPE_RAW = 101;
const MAX_PACKET_BYTES = 65_535;
const RECORD_HEADER_BYTES = 16;
/** Packets are collected up to this size before they are written to the file. */
const BATCH_BYTES = 256 * 1024;
/** Limit of the data waiting for a slow disk; packets beyond it are dropped and counted. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;

export class PacketCapture {
  readonly #path: string;
  readonly #stream: WriteStream;
  readonly #now: () => number;
  readonly #closed: Promise<void>;
  #batch = Buffer.allocUnsafe(BATCH_BYTES);
  #used = 0;
  #packets = 0;
  #leftOut = 0;
  #failure: Error | undefined;

  /** Creates or empties the file. Throws when that fails, which is before any measurement. */
  static async create(path: string, now: () => number = preciseUnixMs): Promise<PacketCapture> {
    let file: FileHandle;
    try {
      file = await open(path, "w", 0o600);
    } catch (error) {
      throw new UserError(`The capture file "${path}" cannot be written`, {
        why: error instanceof Error ? error.message : String(error),
        code: "ERR_CAPTURE_FILE",
        cause: error,
      });
    }
    return new PacketCapture(path, createWriteStream(path, { fd: file }), now);
  }

  /** @param stream Owned. */
  constructor(path: string, stream: WriteStream, now: () => number) {
    this.#path = path;
    this.#stream = stream;
    this.#now = now;
    this.#closed = new Promise((resolve) => stream.once("close", () => resolve()));
    stream.on("error", (error) => {
      this.#failure = error;
    });
    const header = this.#batch;
    header.writeUInt32LE(0xa1b2c3d4, 0);
    header.writeUInt16LE(2, 4);
    header.writeUInt16LE(4, 6);
    header.writeBigUInt64LE(0n, 8); // local time zone, accuracy: not used
    header.writeUInt32LE(MAX_PACKET_BYTES, 16);
    header.writeUInt32LE(LINKTYPE_RAW, 20);
    this.#used = 24;
  }

  /** Copies the packet `bytes[offset, offset + length)`. Never throws. */
  add(bytes: Uint8Array, offset: number, length: number): void {
    if (this.#failure !== undefined || length > MAX_PACKET_BYTES) return;
    const needed = RECORD_HEADER_BYTES + length;
    if (this.#used + needed > BATCH_BYTES) {
      if (this.#stream.writableLength > MAX_WAITING_BYTES) {
        this.#leftOut++;
        return;
      }
      this.#flush();
    }
    const now = this.#now();
    const at = this.#used;
    this.#batch.writeUInt32LE(Math.floor(now / 1000), at);
    this.#batch.writeUInt32LE(Math.floor((now % 1000) * 1000), at + 4);
    this.#batch.writeUInt32LE(length, at + 8);
    this.#batch.writeUInt32LE(length, at + 12);
    this.#batch.set(bytes.subarray(offset, offset + length), at + RECORD_HEADER_BYTES);
    this.#used += needed;
    this.#packets++;
  }

  /**
   * Writes the rest and closes the file.
   * @returns A warning for the user, or undefined.
   */
  async close(): Promise<string | undefined> {
    if (this.#failure === undefined) {
      this.#flush();
      this.#stream.end();
    }
    await this.#closed;
    if (this.#failure !== undefined)
      return `the capture "${this.#path}" is incomplete, writing it failed: ${this.#failure.message}`;
    if (this.#leftOut === 0) return undefined;
    return `the capture "${this.#path}" lacks ${this.#leftOut} of ${this.#packets + this.#leftOut} packets: the disk was too slow`;
  }

  #flush(): void {
    this.#stream.write(this.#batch.subarray(0, this.#used));
    this.#batch = Buffer.allocUnsafe(BATCH_BYTES); // the stream still owns the old one
    this.#used = 0;
  }
}

function preciseUnixMs(): number {
  return performance.timeOrigin + performance.now();
}
