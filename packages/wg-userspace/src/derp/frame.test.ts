import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes, hexDecode, hexEncode } from "../base/bytes.ts";
import { looksLikeDisco } from "../base/disco-marker.ts";
import {
  FrameDecoder,
  type FrameSink,
  FrameType,
  type FrameVerdict,
  frame,
  notePreferredFrame,
  payloadLengthAt,
  peerGoneFrame,
  restartingFrame,
} from "./frame.ts";
import { FrameQueue, SegmentPool } from "./frame-queue.ts";
import { GatherBuffer } from "./gather-buffer.ts";
import { serverKeyFrame } from "./handshake.ts";
import { KeyTable } from "./key-table.ts";
import { decodeUtf8 } from "./text.ts";

const hex = (text: string): Uint8Array => hexDecode(text.replaceAll(/\s/g, ""));

function collect(verdict: (type: number, length: number) => FrameVerdict = () => "take") {
  const frames: string[] = [];
  const sink: FrameSink = {
    frameHeader: verdict,
    frame: (type, bytes, offset, length) =>
      frames.push(`${type}:${hexEncode(bytes.subarray(offset, offset + length))}`),
  };
  return { frames, sink };
}

describe("frames on the wire", () => {
  const key = new Uint8Array(32).fill(0xaa);
  it.each([
    ["ServerKey", serverKeyFrame(key), `01 00000028 44455250f09f9491 ${"aa".repeat(32)}`],
    ["PeerGone", peerGoneFrame(key, 1), `08 00000021 ${"aa".repeat(32)} 01`],
    ["NotePreferred", notePreferredFrame(true), "07 00000001 01"],
    ["NotePreferred off", notePreferredFrame(false), "07 00000001 00"],
    ["Restarting", restartingFrame(1000, 0xfffffffe), "15 00000008 000003e8 fffffffe"],
    ["KeepAlive", frame(FrameType.keepAlive), "06 00000000"],
    ["Ping", frame(FrameType.ping, hex("0102030405060708")), "12 00000008 0102030405060708"],
  ])("%s has the bytes of the protocol", (_name, bytes, expected) => {
    expect(hexEncode(bytes)).toBe(hexEncode(hex(expected)));
  });

  it("reads lengths above 2^31 as positive numbers", () => {
    expect(payloadLengthAt(hex("04 ffffffff"), 0)).toBe(0xffffffff);
  });

  it("recognises disco messages by magic and minimum length", () => {
    const disco = concatBytes(hex("5453f09f92ac"), new Uint8Array(56));
    expect(looksLikeDisco(disco, 0, 62)).toBe(true);
    expect(looksLikeDisco(disco, 0, 61)).toBe(false);
    expect(looksLikeDisco(new Uint8Array(62), 0, 62)).toBe(false);
  });
});

describe("FrameDecoder", () => {
  const stream = concatBytes(
    frame(FrameType.keepAlive),
    frame(FrameType.health, hex("c3bc")),
    frame(0x77, new Uint8Array(9).fill(0x11)),
    frame(FrameType.ping, hex("0102030405060708")),
    frame(FrameType.keepAlive),
  );
  const skipUnknown = (type: number): FrameVerdict => (type === 0x77 ? "skip" : "take");
  const expected = ["6:", "20:c3bc", "18:0102030405060708", "6:"];

  it("gives the same frames for every place where the stream is cut once or twice", () => {
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second++) {
        const decoder = new FrameDecoder();
        const { frames, sink } = collect(skipUnknown);
        decoder.push(stream.subarray(0, first), sink);
        decoder.push(stream.subarray(first, second), sink);
        decoder.push(stream.subarray(second), sink);
        expect(frames).toEqual(expected);
      }
    }
  });

  it("gives the same frames byte by byte", () => {
    const decoder = new FrameDecoder();
    const { frames, sink } = collect(skipUnknown);
    for (const byte of stream) decoder.push(Uint8Array.of(byte), sink);
    expect(frames).toEqual(expected);
  });

  it("hands out views into the chunk when the frame lies inside it", () => {
    const chunks = new Set<ArrayBufferLike>();
    const decoder = new FrameDecoder();
    decoder.push(stream, { frameHeader: () => "take", frame: (_type, bytes) => chunks.add(bytes.buffer) });
    expect([...chunks]).toEqual([stream.buffer]);
    expect(decoder.heldBytes).toBe(0);
  });

  it("security 19: keeps no memory for a length that is only announced", () => {
    const decoder = new FrameDecoder();
    const { sink } = collect();
    decoder.push(hex("04 00100000"), sink);
    expect(decoder.heldBytes).toBe(0);
    decoder.push(new Uint8Array(10), sink);
    expect(decoder.heldBytes).toBeLessThanOrEqual(1024);
  });

  it("releases a large reassembly buffer after the frame", () => {
    const decoder = new FrameDecoder();
    const { frames, sink } = collect();
    const big = frame(FrameType.health, new Uint8Array(100_000));
    decoder.push(big.subarray(0, 50_000), sink);
    decoder.push(big.subarray(50_000), sink);
    expect(frames).toHaveLength(1);
    expect(decoder.heldBytes).toBe(0);
  });

  it("stops permanently when a header is refused", () => {
    const decoder = new FrameDecoder();
    const { frames, sink } = collect((type) => (type === FrameType.ping ? "refuse" : "take"));
    decoder.push(concatBytes(frame(FrameType.keepAlive), frame(FrameType.ping, new Uint8Array(8)), stream), sink);
    decoder.push(stream, sink);
    expect(frames).toEqual(["6:"]);
    expect(decoder.stopped).toBe(true);
  });

  it("hands out nothing more after stop, including the current chunk", () => {
    const decoder = new FrameDecoder();
    let count = 0;
    decoder.push(stream, {
      frameHeader: () => "take",
      frame: () => {
        count++;
        decoder.stop();
      },
    });
    expect(count).toBe(1);
  });

  it("security 42: never throws and never holds more than arrived, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
        const decoder = new FrameDecoder();
        const { sink } = collect((_type, length) => (length > 1 << 20 ? "refuse" : length % 3 === 0 ? "skip" : "take"));
        let total = 0;
        for (const chunk of chunks) {
          total += chunk.length;
          decoder.push(chunk, sink);
          expect(decoder.heldBytes).toBeLessThanOrEqual(Math.max(1024, 2 * total));
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("FrameQueue", () => {
  const key = new Uint8Array(32).fill(7);
  const packet = (n: number, length = 4): Uint8Array => new Uint8Array(length).fill(n);
  const push = (queue: FrameQueue, n: number, length = 4): number =>
    queue.pushPacket(FrameType.recvPacket, key, packet(n, length), 0, length);
  const drain = (queue: FrameQueue, maxBytes = 1 << 20): number[] => {
    const seen: number[] = [];
    for (let chunk = queue.take(maxBytes); chunk !== undefined; chunk = queue.take(maxBytes)) {
      const decoder = new FrameDecoder();
      decoder.push(chunk, {
        frameHeader: () => "take",
        frame: (_type, bytes, offset) => seen.push(bytes[offset + 32]!),
      });
      expect(decoder.heldBytes).toBe(0);
    }
    return seen;
  };

  it("drops the oldest when it is full", () => {
    const queue = new FrameQueue(3, 1 << 20, new SegmentPool());
    expect([1, 2, 3].map((n) => push(queue, n))).toEqual([0, 0, 0]);
    expect(push(queue, 4)).toBe(1);
    expect(push(queue, 5)).toBe(1);
    expect(drain(queue)).toEqual([3, 4, 5]);
  });

  it("gives up at most three old packets for one new one, then the new one", () => {
    const queue = new FrameQueue(100, 41 * 10, new SegmentPool());
    for (let n = 0; n < 10; n++) push(queue, n);
    expect(push(queue, 99, 4 + 2 * 41)).toBe(3);
    expect(push(queue, 98, 4 + 5 * 41)).toBe(-1);
    expect(queue.bytes).toBeLessThanOrEqual(410);
    expect(drain(queue)).toEqual([6, 7, 8, 9, 99]);
  });

  it("keeps order, bounds and whole frames against a plain list", () => {
    const step = fc.oneof(
      fc.record({ push: fc.integer({ min: 1, max: 3000 }) }),
      fc.record({ take: fc.integer({ min: 1, max: 9000 }) }),
      fc.record({ giveBack: fc.nat({ max: 20 }) }),
    );
    const pool = new SegmentPool(); // shared by all the queues of this property: memory goes from one to the next
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const queue = new FrameQueue(20, 20_000, pool);
        let model: { n: number; bytes: number }[] = [];
        const lent: { chunk: Uint8Array; copy: Uint8Array }[] = [];
        let n = 0;
        for (const action of steps) {
          if ("push" in action) {
            n = (n + 1) % 256;
            const dropped = push(queue, n, action.push);
            model = model.slice(dropped < 0 ? 3 : dropped);
            if (dropped >= 0) model.push({ n, bytes: 37 + action.push });
          } else if ("giveBack" in action) {
            for (const { chunk, copy } of lent.splice(0, action.giveBack)) {
              expect(chunk).toEqual(copy);
              pool.giveBack(chunk);
            }
          } else {
            const chunk = queue.take(action.take);
            if (chunk !== undefined) lent.push({ chunk, copy: chunk.slice() });
            const seen: number[] = [];
            if (chunk !== undefined)
              new FrameDecoder().push(chunk, {
                frameHeader: () => "take",
                frame: (_type, bytes, offset) => seen.push(bytes[offset + 32]!),
              });
            expect(seen).toEqual(model.slice(0, seen.length).map((entry) => entry.n));
            expect(seen.length > 0).toBe(model.length > 0);
            if (seen.length > 1) expect(chunk!.length).toBeLessThanOrEqual(action.take);
            model = model.slice(seen.length);
          }
          expect(queue.frames).toBe(model.length);
          expect(queue.bytes).toBe(model.reduce((sum, entry) => sum + entry.bytes, 0));
          expect(queue.frames).toBeLessThanOrEqual(20);
          expect(queue.bytes).toBeLessThanOrEqual(20_000);
        }
        expect(drain(queue)).toEqual(model.map((entry) => entry.n));
        for (const { chunk, copy } of lent) expect(chunk).toEqual(copy);
        queue.clear();
        for (const { chunk } of lent) pool.giveBack(chunk);
      }),
      { numRuns: 100 },
    );
  });

  it("reuses memory once its chunk was returned, and only then", () => {
    const pool = new SegmentPool();
    const queue = new FrameQueue(100, 1 << 20, pool);
    push(queue, 1);
    const first = queue.take(1 << 20)!;
    push(queue, 2);
    const second = queue.take(1 << 20)!;
    expect(second.byteOffset).toBe(first.byteOffset + first.length);
    pool.giveBack(first);
    pool.giveBack(second);
    push(queue, 3);
    const third = queue.take(1 << 20)!;
    expect([third.buffer === first.buffer, third.byteOffset]).toEqual([true, 0]);
  });

  it("hands full segments of one connection to the next", () => {
    const pool = new SegmentPool();
    const fill = (queue: FrameQueue): Set<ArrayBufferLike> => {
      for (let n = 0; n < 400; n++) push(queue, n % 256, 1_000);
      const seen = new Set<ArrayBufferLike>();
      for (let chunk = queue.take(1 << 16); chunk !== undefined; chunk = queue.take(1 << 16)) {
        seen.add(chunk.buffer);
        pool.giveBack(chunk);
      }
      queue.trim();
      return seen;
    };
    const first = fill(new FrameQueue(500, 1 << 20, pool));
    const second = fill(new FrameQueue(500, 1 << 20, pool));
    expect([...second].filter((buffer) => first.has(buffer)).length).toBeGreaterThan(2);
  });

  it("never changes a chunk that was handed out", () => {
    const queue = new FrameQueue(100, 1 << 20, new SegmentPool());
    push(queue, 1);
    const chunk = queue.take(1 << 20)!;
    const copy = chunk.slice();
    for (let n = 2; n < 50; n++) push(queue, n);
    expect(chunk).toEqual(copy);
  });
});

describe("GatherBuffer", () => {
  it("returns everything appended as one chunk and uses recycled memory again", () => {
    const buffer = new GatherBuffer();
    buffer.append(hex("0102"));
    buffer.appendPacket(4, hex("aa"), undefined, hex("00bbcc00"), 1, 2);
    const chunk = buffer.take()!;
    expect(hexEncode(chunk)).toBe("0102" + "0400000003" + "aa" + "bbcc");
    expect(buffer.take()).toBeUndefined();
    buffer.recycle(chunk);
    buffer.append(hex("03"));
    expect(buffer.take()!.buffer).toBe(chunk.buffer);
  });
});

describe("KeyTable", () => {
  it("behaves like a Map from hexadecimal keys", () => {
    const keys = Array.from({ length: 6 }, (_, i) => new Uint8Array(32).fill(i));
    const step = fc.record({ add: fc.boolean(), key: fc.integer({ min: 0, max: 5 }) });
    fc.assert(
      fc.property(fc.integer(), fc.array(step, { maxLength: 60 }), (seed, steps) => {
        const table = new KeyTable<number>(seed);
        const model = new Map<number, number>();
        for (const { add, key } of steps) {
          if (!add) {
            table.delete(keys[key]!);
            model.delete(key);
          } else if (!model.has(key)) {
            table.add(keys[key]!, key);
            model.set(key, key);
          }
          expect(table.size).toBe(model.size);
          for (const [i, bytes] of keys.entries()) expect(table.get(bytes)).toBe(model.get(i));
          expect([...table.values()].sort()).toEqual([...model.values()].sort());
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe("decodeUtf8", () => {
  it("agrees with TextDecoder on well-formed text and never throws on anything", () => {
    fc.assert(
      fc.property(
        fc.uint16Array({ maxLength: 60 }).map((units) => String.fromCharCode(...units).toWellFormed()),
        (text) => {
          const bytes = new TextEncoder().encode(text);
          expect(decodeUtf8(bytes, 0, bytes.length)).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
        },
      ),
    );
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(new TextEncoder().encode(decodeUtf8(bytes, 0, bytes.length)).length).toBeLessThanOrEqual(
          3 * bytes.length,
        );
      }),
    );
  });
});
