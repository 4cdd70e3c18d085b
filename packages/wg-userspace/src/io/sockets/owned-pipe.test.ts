import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, type Readable, Writable } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import { ownedPipe } from "./owned-pipe.ts";

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});
const ends: (() => unknown)[] = [];

/** Two ends of a TCP connection on loopback. */
async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [far] = (await once(server, "connection")) as [Socket];
  server.close();
  for (const socket of [near, far]) {
    socket.on("error", () => undefined);
    ends.push(() => socket.destroy());
  }
  return [near, far];
}

/** Holds every chunk for some turns of the loop, then copies it. */
class SlowSink extends Writable {
  readonly got: Buffer[] = [];
  readonly seen: Uint8Array[] = [];
  /** How many large chunks were all of their memory. */
  whole = 0;
  #turns = 0;

  constructor() {
    super({ highWaterMark: 32 * 1024 });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.seen.push(chunk);
    if (chunk.length >= 4096 && chunk.length === chunk.buffer.byteLength) this.whole++;
    let turns = this.#turns++ % 4;
    const step = (): void => {
      if (turns-- > 0) {
        setImmediate(step);
        return;
      }
      this.got.push(Buffer.from(chunk));
      done();
    };
    step();
  }
}

function detached(chunks: readonly Uint8Array[]): number {
  return chunks.filter((chunk) => (chunk.buffer as ArrayBuffer).detached).length;
}

describe("ownedPipe", () => {
  it("carries every byte of a socket to a slow sink, and frees behind it the chunks that fill their memory", async () => {
    const [near, far] = await socketPair();
    const data = randomBytes(3_000_000);
    const sink = new SlowSink();
    ownedPipe(far, sink);
    for (let at = 0, size = 1; at < data.length; at += size, size = (size * 7 + 13) % 200_000) {
      size = Math.max(1, size);
      if (!near.write(data.subarray(at, at + size))) await once(near, "drain");
    }
    near.end();
    await once(sink, "finish");
    expect(Buffer.concat(sink.got).equals(data)).toBe(true);
    await new Promise(setImmediate); // the last write callback runs by then
    expect(sink.whole).toBeGreaterThan(0);
    expect(detached(sink.seen)).toBe(sink.whole);
  });

  it("never frees the pool when a socket is given a pooled chunk back", async () => {
    const [, far] = await socketPair();
    const sink = new SlowSink();
    const chunks = Array.from({ length: 40 }, (_, i) => Buffer.allocUnsafe((Buffer.poolSize >>> 1) - 1 - i).fill(i));
    const pooled = chunks.filter((chunk) => chunk.buffer.byteLength !== chunk.length);
    for (const chunk of chunks) far.unshift(chunk);
    ownedPipe(far, sink);
    far.push(null);
    await once(sink, "finish");
    await new Promise(setImmediate);
    expect(pooled.length).toBeGreaterThan(0);
    expect(detached(pooled)).toBe(0);
  });

  it("carries every byte of a file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "owned-pipe-"));
    ends.push(() => rmSync(folder, { recursive: true }));
    const data = randomBytes(1_000_000);
    writeFileSync(join(folder, "file"), data);
    const sink = new SlowSink();
    ownedPipe(createReadStream(join(folder, "file")), sink);
    await once(sink, "finish");
    expect(Buffer.concat(sink.got).equals(data)).toBe(true);
    expect(detached(sink.seen)).toBeGreaterThan(10);
  });

  it("leaves the chunks of other streams alone", async () => {
    const [source, sink] = [new PassThrough(), new SlowSink()];
    ownedPipe(source, sink);
    const chunk = new Uint8Array(65536).fill(9);
    source.end(chunk);
    await once(sink, "finish");
    expect([detached(sink.seen), chunk.every((byte) => byte === 9)]).toEqual([0, true]);
  });

  it("does not take back what the sink did not write", async () => {
    const [near, far] = await socketPair();
    const seen: Uint8Array[] = [];
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        seen.push(chunk);
        done(new Error("broken"));
      },
    });
    sink.on("error", () => undefined);
    ownedPipe(far, sink);
    near.write(randomBytes(100_000));
    await new Promise((resolve) => sink.once("close", resolve));
    expect(detached(seen)).toBe(0);
  });

  it("stops like unpipe: the source is paused, and its next reader gets what follows", async () => {
    const [source, sink] = [new PassThrough(), new SlowSink()];
    const before = [source, sink].map((stream) => listeners(stream));
    const stop = ownedPipe(source, sink);
    source.write("one");
    await new Promise(setImmediate);
    stop();
    stop();
    expect([source, sink].map((stream) => listeners(stream))).toEqual(before);
    expect(source.isPaused()).toBe(true);
    source.end("two");
    expect(String(Buffer.concat(await source.toArray()))).toBe("two");
    expect(String(Buffer.concat(sink.got))).toBe("one");
    expect(sink.writableEnded).toBe(false);
  });

  it.each(["close", "finish"] as const)("pauses the source at the sink's %s", async (event) => {
    const [source, sink] = [new PassThrough(), new SlowSink()];
    ownedPipe(source, sink);
    if (event === "close") sink.destroy();
    else sink.end();
    await once(sink, event);
    expect(source.isPaused()).toBe(true);
  });

  it("leaves the sink open on request", async () => {
    const [source, sink] = [new PassThrough(), new SlowSink()];
    ownedPipe(source, sink, { end: false });
    source.end("all");
    await once(source, "end");
    await new Promise(setImmediate);
    expect([String(Buffer.concat(sink.got)), sink.writableEnded]).toEqual(["all", false]);
  });
});

function listeners(stream: Readable | Writable): Record<string, number> {
  return Object.fromEntries(stream.eventNames().map((name) => [String(name), stream.listenerCount(name)]));
}
