import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { Readable } from "node:stream";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import fc from "fast-check";
import { afterEach, expect, it } from "vitest";
import { SELF_SIGNED_CERT, SELF_SIGNED_KEY } from "../../testing/self-signed.ts";
import { freeWhole, lenderOf } from "./owned-buffers.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

const isDetached = (chunk: Uint8Array): boolean => (chunk.buffer as ArrayBuffer).detached;

it("frees a chunk that is all of its memory", () => {
  const chunk = new Uint8Array(65536);
  freeWhole(chunk);
  expect([isDetached(chunk), chunk.length]).toEqual([true, 0]);
  freeWhole(chunk); // a second call finds nothing
});

it("never frees a part of something", () => {
  const whole = 1 << 17;
  const view = fc.tuple(fc.nat(whole), fc.nat(whole)).map(([a, b]) => [Math.min(a, b), Math.abs(a - b)] as const);
  fc.assert(
    fc.property(view, ([offset, length]) => {
      const memory = new ArrayBuffer(whole);
      const last = Math.min(length, whole - offset);
      freeWhole(new Uint8Array(memory, offset, last));
      expect(memory.detached).toBe(offset === 0 && last === whole);
    }),
  );
});

it("never frees memory of Node's pool, or shared memory", () => {
  const sizes = fc.nat(3 * Buffer.poolSize);
  fc.assert(
    fc.property(sizes, fc.constantFrom("unsafe", "from", "text"), (size, kind) => {
      const chunk =
        kind === "unsafe"
          ? Buffer.allocUnsafe(size)
          : kind === "from"
            ? Buffer.from(new Uint8Array(size))
            : Buffer.from("x".repeat(size));
      const pooled = chunk.buffer.byteLength !== chunk.length || size < 4096;
      freeWhole(chunk);
      expect(isDetached(chunk)).toBe(!pooled);
    }),
  );
  const shared = new Uint8Array(new SharedArrayBuffer(65536)).fill(7);
  freeWhole(shared);
  expect(shared.every((byte) => byte === 7)).toBe(true);
  expect(Buffer.from("the pool is whole").toString()).toBe("the pool is whole");
});

it("takes chunks back only from streams whose chunks have no other reader", () => {
  expect(lenderOf(Readable.from([Buffer.alloc(65536)]))).toBeUndefined();
  const returned: Uint8Array[] = [];
  const lending = Object.assign(Readable.from([]), { giveBack: (chunk: Uint8Array) => void returned.push(chunk) });
  const chunk = new Uint8Array(10);
  lenderOf(lending)?.(chunk);
  expect(returned).toEqual([chunk]);
});

it("leaves the memory behind a socket's chunk to Node, which reads another socket into it", async () => {
  const [emitting, near] = await pairOf(createServer(), "connection", (port) => connect(port, "127.0.0.1"), "connect");
  const [other, otherNear] = await pairOf(
    createTlsServer({ key: SELF_SIGNED_KEY, cert: SELF_SIGNED_CERT }),
    "secureConnection",
    (port) => connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }),
    "secureConnect",
  );
  const giveBack = lenderOf(near)!;
  // Such a chunk is most of its memory, and not all. How the bytes are divided among reads is not ours to choose.
  const isMost = (chunk: Uint8Array) =>
    chunk.length > chunk.buffer.byteLength / 2 && chunk.length < chunk.buffer.byteLength;
  let met = 0;
  for (let i = 0; i < 50 && met < 3; i++) {
    const chunks = await received(near, 60_000, () => emitting.write(Buffer.alloc(60_000)));
    if (isMost(chunks.at(-1)!)) met++;
    for (const chunk of chunks) giveBack(chunk);
    const [first] = await received(otherNear, 1000, () => other.write(Buffer.alloc(1000, i + 1)));
    expect(first?.[0]).toBe(i + 1);
  }
  expect(met).toBe(3);
});

/** Both ends of one connection, the accepted one first. */
async function pairOf<S extends Socket>(server: Server, accepted: string, open: (port: number) => S, opened: string) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepting = once(server, accepted) as Promise<[Socket]>;
  const near = open((server.address() as AddressInfo).port);
  const [[far]] = await Promise.all([accepting, once(near, opened)]);
  ends.push(() => {
    for (const socket of [far, near]) socket.destroy();
    server.close();
  });
  return [far, near] as const;
}

/** What `socket` emits after `write`, until it is so many bytes. */
async function received(socket: Socket, bytes: number, write: () => void): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  const all = Promise.withResolvers<void>();
  let left = bytes;
  const take = (chunk: Buffer): void => {
    chunks.push(chunk);
    left -= chunk.length;
    if (left <= 0) all.resolve();
  };
  socket.on("data", take);
  write();
  await all.promise;
  socket.off("data", take);
  return chunks;
}
