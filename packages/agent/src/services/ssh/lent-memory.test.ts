/**
 * The service over a stream that overwrites every chunk as soon as it is given back, with every cipher: a chunk that is read
 * afterwards shows as wrong bytes.
 */
import { createHash, randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import type { CipherAlgorithm, Client, MacAlgorithm } from "ssh2";
import { describe, expect, test } from "vitest";
import { exec, TestService } from "./testing.ts";

/** One end of a connection that behaves like a TcpStream, with chunks of varying size. */
class LendingEnd extends Duplex {
  readonly copiesWrites = true;
  other: LendingEnd | undefined;
  returned = 0;
  readonly #out: Buffer[] = [];
  /** Memory of large packets. */
  readonly #written: ArrayBufferLike[] = [];
  #turn = 0;
  #wanted = false;
  #blocked: (() => void) | undefined;

  constructor() {
    super({ highWaterMark: 64 * 1024 });
  }

  giveBack(chunk: Uint8Array): void {
    this.returned += chunk.length;
    chunk.fill(0xdd);
  }

  /** Number of large packets written here whose memory was freed or reused. */
  countGivenBack(): number {
    const kept = this.#written.filter((buffer) => !(buffer as ArrayBuffer).detached);
    return this.#written.length - new Set(kept).size;
  }

  override _read(): void {
    this.#wanted = true;
    this.#deliver();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (chunk.length >= 4096) this.#written.push(chunk.buffer);
    const copy = Buffer.allocUnsafeSlow(chunk.length);
    chunk.copy(copy);
    this.other!.#out.push(copy);
    setImmediate(() => this.other!.#deliver());
    // Every few writes the ring is full: the callback comes when the reader has taken something.
    if (this.#turn++ % 5 === 4) this.#blocked = done;
    else done();
  }

  override _final(done: () => void): void {
    this.other!.#out.push(Buffer.alloc(0));
    this.other!.#deliver();
    done();
  }

  /** Delivers pieces whose sizes are unrelated to the packets. */
  #deliver(): void {
    while (this.#wanted && this.#out.length > 0) {
      const first = this.#out[0]!;
      if (first.length === 0) {
        this.#out.shift();
        this.push(null);
        break;
      }
      const size = Math.min(first.length, 1 + ((this.#turn++ * 7919) % 40_000));
      const piece = Buffer.allocUnsafeSlow(size);
      first.copy(piece, 0, 0, size);
      if (size === first.length) this.#out.shift();
      else this.#out[0] = first.subarray(size);
      if (!this.push(piece)) this.#wanted = false;
    }
    const blocked = this.other?.takeBlocked();
    blocked?.();
  }

  takeBlocked(): (() => void) | undefined {
    const blocked = this.#blocked;
    this.#blocked = undefined;
    return blocked;
  }
}

interface LentConnection {
  readonly client: Client;
  readonly near: LendingEnd;
  readonly far: LendingEnd;
}

async function connect(t: TestService, cipher: CipherAlgorithm, hmac: MacAlgorithm): Promise<LentConnection> {
  const [near, far] = [new LendingEnd(), new LendingEnd()];
  near.other = far;
  far.other = near;
  t.service.handleConnection(far, { address: "fd7a:115c:a1e0::1", port: 4321 });
  const client = await t.connectOver(near, { algorithms: { cipher: [cipher], hmac: [hmac] } });
  near.on("data", (chunk: Buffer) => near.giveBack(chunk)); // as the command does it
  return { client, near, far };
}

/** Writes pieces of varying size, and waits for room. */
async function writeAll(sink: NodeJS.WritableStream, data: Buffer): Promise<void> {
  for (let at = 0, turn = 0; at < data.length; turn++) {
    const part = data.subarray(at, at + 1 + ((turn * 104_729) % 90_000));
    at += part.length;
    if (!sink.write(part)) await new Promise((resolve) => sink.once("drain", resolve));
  }
  sink.end();
}

describe.each([
  ["aes128-gcm@openssh.com", "hmac-sha2-256"],
  ["aes256-gcm@openssh.com", "hmac-sha2-256"],
  ["chacha20-poly1305@openssh.com", "hmac-sha2-256"],
  ["aes128-ctr", "hmac-sha2-256-etm@openssh.com"],
  ["aes256-ctr", "hmac-sha2-512"],
] as const)("%s, %s", (cipher, hmac) => {
  test("every byte goes through a program and back, across new keys, and memory is given back at both ends", async () => {
    await using t = new TestService({ limits: { rekeyBytes: 3_000_000 } });
    const { client, near, far } = await connect(t, cipher, hmac);
    const input = randomBytes(8_000_000);
    const channel = await exec(client, "cat");
    const hash = createHash("sha256");
    const chunks: Buffer[] = [];
    channel.on("data", (chunk: Buffer) => {
      hash.update(chunk);
      chunks.push(chunk);
      (channel as unknown as LendingEnd).giveBack(chunk);
    });
    const closed = new Promise((resolve) => channel.once("close", resolve));
    await writeAll(channel, input);
    await closed;
    expect(hash.digest("hex")).toBe(createHash("sha256").update(input).digest("hex"));
    // Data from before and during the first key exchange is kept.
    expect(near.returned).toBeGreaterThan(input.length / 2);
    expect(far.returned).toBeGreaterThan(input.length / 2);
    expect(near.countGivenBack()).toBeGreaterThan(20);
    expect(far.countGivenBack()).toBeGreaterThan(20);
    expect(chunks.filter((chunk) => (chunk.buffer as ArrayBuffer).detached).length).toBeGreaterThan(20);
  });
});
