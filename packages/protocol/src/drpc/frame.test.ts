import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hex, toHex } from "../../test/link.ts";
import { ByteQueue } from "../yamux/byte-queue.ts";
import { DrpcClientCall } from "./call.ts";
import {
  decodeError,
  encodeError,
  MAX_FRAME_DATA_BYTES,
  MAX_PACKET_BYTES,
  type Packet,
  PacketKind,
  PacketReader,
  writePacket,
} from "./frame.ts";

function frames(...packets: [kind: PacketKind, messageId: number, data: Uint8Array][]): Uint8Array {
  const out = new ByteQueue();
  for (const [kind, messageId, data] of packets) writePacket(out, kind, 1, messageId, data);
  return out.take(Number.MAX_SAFE_INTEGER) ?? new Uint8Array(0);
}

function read(reader: PacketReader, ...chunks: Uint8Array[]): Packet[] {
  const packets: Packet[] = [];
  for (const chunk of chunks) {
    if (!reader.wantsInput) break;
    reader.feed(chunk);
    for (let packet = reader.next(); packet !== undefined; packet = reader.next()) packets.push(packet);
  }
  return packets;
}

function bytes(length: number, fill = 7): Uint8Array {
  return new Uint8Array(length).fill(fill);
}

describe("the bytes of a call", () => {
  test("a unary call without fields is the example of the protocol notes", () => {
    const call = new DrpcClientCall("/coder.agent.v2.Agent/GetManifest");
    call.sendMessage(new Uint8Array(0));
    call.closeSend();
    expect(toHex(call.takeOutput())).toBe(
      toHex(
        hex(`03 01 01 21 2f636f6465722e6167656e742e76322e4167656e742f4765744d616e6966657374
             05 01 02 00
             0d 01 03 00`),
      ),
    );
  });

  test("control bytes are those of Go", () => {
    const first = (kind: PacketKind) => frames([kind, 1, new Uint8Array(0)])[0];
    expect([1, 2, 3, 4, 5, 6, 7].map((kind) => first(kind as PacketKind))).toEqual([
      0x03, 0x05, 0x07, 0x89, 0x0b, 0x0d, 0x0f,
    ]);
  });

  test("lengths above 127 take more varint bytes", () => {
    expect(toHex(frames([PacketKind.message, 300, bytes(200)]).subarray(0, 6))).toBe("0501ac02c801");
  });

  test("an error is a code and text", () => {
    expect(toHex(encodeError(12, "no"))).toBe("000000000000000c6e6f");
    expect(decodeError(encodeError(12, "nö"))).toEqual({ code: 12, text: "nö" });
    expect(decodeError(hex("6162"))).toEqual({ code: 0, text: "ab" });
    expect(decodeError(hex("0000000000000000 ff")).text).toBe("\ufffd");
    expect(decodeError(encodeError(1, "x".repeat(1_000_000))).text).toHaveLength(8192);
  });
});

describe("reading packets", () => {
  test("every single cut gives the same packets", () => {
    const wire = frames(
      [PacketKind.invoke, 1, bytes(3)],
      [PacketKind.message, 2, bytes(300)],
      [PacketKind.message, 200, new Uint8Array(0)],
      [PacketKind.closeSend, 201, new Uint8Array(0)],
    );
    const whole = read(new PacketReader(), wire.slice());
    expect(whole.map((packet) => packet.messageId)).toEqual([1, 2, 200, 201]);
    for (let cut = 0; cut <= wire.length; cut++) {
      expect(read(new PacketReader(), wire.slice(0, cut), wire.slice(cut))).toEqual(whole);
    }
    expect(read(new PacketReader(), ...Array.from(wire, (byte) => Uint8Array.of(byte)))).toEqual(whole);
  });

  test("large packets are split at 64 KiB and put together again, up to 4 MiB", () => {
    const data = Uint8Array.from({ length: MAX_PACKET_BYTES }, (_, i) => i >> 10);
    const wire = frames([PacketKind.message, 1, data]);
    expect(wire.length).toBe(MAX_PACKET_BYTES + (MAX_PACKET_BYTES / MAX_FRAME_DATA_BYTES) * 6);
    const [packet] = read(new PacketReader(), wire);
    expect(Buffer.compare(packet!.data, data)).toBe(0);
    const reader = new PacketReader();
    expect(read(reader, frames([PacketKind.message, 1, bytes(MAX_PACKET_BYTES + 1)]))).toEqual([]);
    expect(reader.failure).toMatch("exceeds 4194304 bytes");
  });

  test("a packet that announces much and sends little uses little memory", () => {
    const budget = { usedBytes: 0, limitBytes: 1_000_000 };
    const reader = new PacketReader({ budget });
    read(reader, hex("05 01 01 80808002 aabbcc"));
    expect(reader.failure).toBeUndefined();
    expect(budget.usedBytes).toBe(3);
    reader.dispose();
    expect(budget.usedBytes).toBe(0);
  });

  test("unfinished packets of one session share a budget, and finished ones give it back", () => {
    const budget = { usedBytes: 0, limitBytes: 1_000 };
    const [first, second] = [new PacketReader({ budget }), new PacketReader({ budget })];
    const unfinished = frames([PacketKind.message, 1, bytes(700)]).slice(0, 650);
    read(first, unfinished.slice());
    read(second, unfinished.slice());
    expect(first.failure).toBeUndefined();
    expect(second.failure).toMatch("too much memory");
    expect(read(first, bytes(56))).toHaveLength(1);
    expect(budget.usedBytes).toBe(0);
  });

  const unfinished = hex("04 01 02 01 aa");
  test("a higher message id discards an unfinished packet", () => {
    expect(read(new PacketReader(), new Uint8Array([...unfinished, ...hex("05 01 03 01 bb")]))).toMatchObject([
      { messageId: 3, data: Uint8Array.of(0xbb) },
    ]);
  });

  test("unknown kinds of control packets are skipped with their data", () => {
    expect(read(new PacketReader(), hex("91 01 01 03 aabbcc 05 01 02 00"))).toMatchObject([{ kind: 2, messageId: 2 }]);
  });

  const broken: [string, string, RegExp][] = [
    ["a lower message id", "05 01 02 00 05 01 01 00", /message id 1 after 1|message id 1 after 2/],
    ["a message id used again", "05 01 02 00 05 01 02 00", /message id 2/],
    ["message id 0", "05 01 00 00", /message id 0/],
    ["stream id 0", "05 00 01 00", /stream id 0/],
    ["another stream id", "05 01 01 00 05 02 02 00", /stream id 2/],
    ["a packet that changes its kind", "04 01 01 00 07 01 01 00", /changes its kind/],
    ["an unknown kind that is no control packet", "11 01 01 00", /unknown kind 8/],
    ["a number beyond 2^53", "05 ffffffffffffffffff01", /too large/],
    ["a number that never ends", "05 8080808080808080808000", /not a varint/],
  ];
  test.each(broken)("%s is a protocol error", (_, text, failure) => {
    const reader = new PacketReader();
    read(reader, hex(text));
    expect(reader.failure).toMatch(failure);
    expect(reader.wantsInput).toBe(false);
  });

  test("written packets are read back, however they are fragmented", () => {
    const packet = fc.record({
      kind: fc.constantFrom(1, 2, 3, 4, 5, 6, 7) as fc.Arbitrary<PacketKind>,
      data: fc.uint8Array({ maxLength: 400 }),
      skip: fc.integer({ min: 1, max: 1_000_000 }),
    });
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 12 }), fc.integer({ min: 1, max: 500 }), (packets, cut) => {
        let id = 0;
        const numbered = packets.map(({ kind, data, skip }): [PacketKind, number, Uint8Array] => {
          id += skip;
          return [kind, id, data];
        });
        const wire = frames(...numbered);
        const chunks = [];
        for (let at = 0; at < wire.length; at += cut) chunks.push(wire.slice(at, at + cut));
        expect(read(new PacketReader(), ...chunks).map((one) => [one.kind, one.messageId, one.data])).toEqual(numbered);
      }),
      { numRuns: 150 },
    );
  });

  test("any bytes: no throw, no more memory than arrived", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 20 }), (chunks) => {
        const budget = { usedBytes: 0, limitBytes: 1 << 20 };
        const reader = new PacketReader({ budget });
        read(reader, ...chunks);
        const came = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
        expect(budget.usedBytes).toBeLessThanOrEqual(2 * came);
        expect(budget.usedBytes).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 500 },
    );
  });
});
