import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hexDecode } from "../../base/bytes.ts";
import { ip } from "../../base/ip.ts";
import type { PacketMemory } from "../../base/ports.ts";
import { foldChecksum, scalarChecksum } from "./checksum.ts";
import { emitIpHeader, parseIpPacket, transportChecksum, transportSum } from "./ip.ts";
import { IpPacket, PROTOCOL_TCP, PROTOCOL_UDP } from "./ip-packet.ts";
import { ACK, emitSynOptions, emitTcp, emitTimestamps, parseTcp, SYN, TcpSegment } from "./tcp.ts";
import { emitUdp, parseUdp, UdpHeader } from "./udp.ts";

const memoryOf = (bytes: Uint8Array): PacketMemory => ({
  bytes,
  view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
});
const blank = (length: number) => memoryOf(new Uint8Array(length).fill(0xa5));

/** RFC 1071 §1, as slow and obvious as possible. */
function slowSum(bytes: Uint8Array): number {
  let sum = 0n;
  for (let i = 0; i < bytes.length; i += 2) sum += BigInt(bytes[i]! * 256 + (bytes[i + 1] ?? 0));
  while (sum > 0xffffn) sum = (sum & 0xffffn) + (sum >> 16n);
  return Number(sum);
}

describe("checksum", () => {
  test("the example of RFC 1071 section 3 sums to ddf2", () => {
    expect(scalarChecksum(hexDecode("0001f203f4f5f6f7"), 0, 8, 0)).toBe(0xddf2);
  });
  test("any bytes at any offset sum like the reference implementation, and running sums continue", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), fc.nat(100), (bytes, offset, split) => {
        const padded = new Uint8Array(offset + bytes.length + 3).fill(0xa5);
        padded.set(bytes, offset);
        const whole = scalarChecksum(padded, offset, bytes.length, 0);
        expect(whole).toBe(slowSum(bytes));
        const even = Math.min(split * 2, bytes.length & ~1);
        const first = scalarChecksum(padded, offset, even, 0);
        expect(scalarChecksum(padded, offset + even, bytes.length - even, first)).toBe(whole);
      }),
    );
  });
  test("folding keeps the value modulo 65535", () => {
    expect(foldChecksum(0x1ffff)).toBe(1);
    expect(foldChecksum(0xffff)).toBe(0xffff);
  });
});

describe("ip", () => {
  test.each([
    ["10.0.0.1", "10.255.0.2"],
    ["fd00::1", "2001:db8::ffff"],
  ])("a header from %s to %s parses back", (from, to) => {
    const memory = blank(100);
    const header = emitIpHeader(memory, 3, ip(from), ip(to), PROTOCOL_TCP, 20, scalarChecksum);
    const packet = new IpPacket();
    expect(parseIpPacket(memory, 3, header + 20, scalarChecksum, packet)).toBeUndefined();
    expect(packet).toMatchObject({ protocol: 6, payloadOffset: 3 + header, payloadLength: 20, hopLimit: 64 });
    const { sourceOffset, destinationOffset, addressLength } = packet;
    expect(memory.bytes.slice(sourceOffset, sourceOffset + addressLength)).toEqual(new Uint8Array(ip(from)));
    expect(memory.bytes.slice(destinationOffset, destinationOffset + addressLength)).toEqual(new Uint8Array(ip(to)));
  });

  test("a wrong IPv4 header checksum and a wrong length are dropped by name", () => {
    const packet = new IpPacket();
    const make = () => {
      const memory = blank(40);
      emitIpHeader(memory, 0, ip("10.0.0.1"), ip("10.0.0.2"), PROTOCOL_UDP, 20, scalarChecksum);
      return memory;
    };
    const reseal = (memory: PacketMemory) => {
      memory.view.setUint16(10, 0);
      memory.view.setUint16(10, ~scalarChecksum(memory.bytes, 0, 20, 0) & 0xffff);
    };
    const corrupt = make();
    corrupt.bytes[8] = 1;
    expect(parseIpPacket(corrupt, 0, 40, scalarChecksum, packet)).toBe("bad-checksum");
    const fragment = make();
    fragment.view.setUint16(6, 0x2000);
    reseal(fragment);
    expect(parseIpPacket(fragment, 0, 40, scalarChecksum, packet)).toBeUndefined();
    expect(packet).toMatchObject({ fragmentOffset: 0, moreFragments: true, isFragment: true });
    expect(parseIpPacket(make(), 0, 39, scalarChecksum, packet)).toBe("too-short");
    const tiny = make();
    tiny.bytes[0] = 0x44;
    expect(parseIpPacket(tiny, 0, 40, scalarChecksum, packet)).toBe("malformed");
  });

  test("hop-by-hop and destination options are skipped, within the packet and up to eight", () => {
    const packet = new IpPacket();
    const make = (headers: number[]) => {
      const memory = blank(40 + 8 * headers.length + 4);
      const payload = 8 * headers.length + 4;
      emitIpHeader(memory, 0, ip("fd00::1"), ip("fd00::2"), headers[0] ?? 17, payload, scalarChecksum);
      headers.forEach((_, i) => {
        memory.bytes[40 + 8 * i] = headers[i + 1] ?? 17;
        memory.bytes[41 + 8 * i] = 0;
      });
      return memory;
    };
    const two = make([0, 60]);
    expect(parseIpPacket(two, 0, two.bytes.length, scalarChecksum, packet)).toBeUndefined();
    expect(packet).toMatchObject({ protocol: 17, payloadOffset: 56, payloadLength: 4 });
    const nine = make(new Array(9).fill(60));
    expect(parseIpPacket(nine, 0, nine.bytes.length, scalarChecksum, packet)).toBe("malformed");
    const long = make([0]);
    long.bytes[41] = 1;
    expect(parseIpPacket(long, 0, long.bytes.length, scalarChecksum, packet)).toBe("malformed");
    const fragment = make([44]);
    fragment.view.setUint32(42, 0x00090000);
    expect(parseIpPacket(fragment, 0, fragment.bytes.length, scalarChecksum, packet)).toBeUndefined();
    expect(packet).toMatchObject({ protocol: 17, payloadOffset: 48, fragmentOffset: 8, moreFragments: true });
    fragment.view.setUint16(4, 4);
    expect(parseIpPacket(fragment, 0, fragment.bytes.length, scalarChecksum, packet)).toBe("malformed");
  });

  test("no bytes make a parser throw or read beyond the packet", () => {
    const packet = new IpPacket();
    const segment = new TcpSegment();
    const udp = new UdpHeader();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(0x45, 0x46, 0x4f, 0x60, -1), (bytes, first) => {
        if (first >= 0 && bytes.length > 0) bytes[0] = first;
        const memory = memoryOf(bytes);
        if (parseIpPacket(memory, 0, bytes.length, () => 0xffff, packet) === undefined) {
          expect(packet.payloadOffset + packet.payloadLength).toBeLessThanOrEqual(bytes.length);
          transportSum(memory, packet, scalarChecksum);
        }
        if (parseTcp(memory, 0, bytes.length, segment) === undefined)
          expect(segment.payloadOffset + segment.payloadLength).toBe(bytes.length);
        if (parseUdp(memory, 0, bytes.length, udp) === undefined)
          expect(udp.payloadOffset + udp.payloadLength).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("udp", () => {
  test("emit and parse agree, and the checksum over both families verifies", () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.nat(65535),
        fc.nat(65535),
        fc.uint8Array({ maxLength: 99 }),
        (v6, from, to, data) => {
          const memory = blank(200);
          const [a, b] = v6 ? [ip("fd00::1"), ip("fd00::2")] : [ip("1.2.3.4"), ip("5.6.7.8")];
          const header = emitIpHeader(memory, 0, a, b, PROTOCOL_UDP, 8 + data.length, scalarChecksum);
          emitUdp(memory, header, from, to, data.length);
          memory.bytes.set(data, header + 8);
          const sum = transportChecksum(memory, 0, header, PROTOCOL_UDP, 8 + data.length, scalarChecksum);
          memory.view.setUint16(header + 6, sum);
          const packet = new IpPacket();
          expect(parseIpPacket(memory, 0, header + 8 + data.length, scalarChecksum, packet)).toBeUndefined();
          expect(transportSum(memory, packet, scalarChecksum)).toBe(0xffff);
          const udp = new UdpHeader();
          expect(parseUdp(memory, packet.payloadOffset, packet.payloadLength, udp)).toBeUndefined();
          expect(udp).toMatchObject({ sourcePort: from, destinationPort: to, payloadLength: data.length });
        },
      ),
    );
  });
});

describe("tcp", () => {
  test("a header with timestamps parses back", () => {
    fc.assert(
      fc.property(
        fc.nat(0xffffffff),
        fc.nat(0xffffffff),
        fc.nat(63),
        fc.nat(65535),
        fc.nat(0xffffffff),
        (seq, ack, flags, window, ts) => {
          const memory = blank(60);
          emitTcp(memory, 2, 0x00500051, seq, ack, 32, flags, window);
          emitTimestamps(memory, 22, ts, ack);
          const segment = new TcpSegment();
          expect(parseTcp(memory, 2, 40, segment)).toBeUndefined();
          const expected = { seq, ack, flags, window, tsValue: ts, tsEcho: ack, hasTimestamps: true, payloadLength: 8 };
          expect(segment).toMatchObject({ sourcePort: 0x50, destinationPort: 0x51, ...expected });
        },
      ),
    );
  });
  test("SYN options parse back in every combination", () => {
    fc.assert(
      fc.property(
        fc.nat(65535),
        fc.option(fc.nat(14), { nil: undefined }),
        fc.boolean(),
        fc.option(fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff)), { nil: undefined }),
        (mss, windowScale, sackPermitted, timestamps) => {
          const memory = blank(60);
          const length = emitSynOptions(memory, 20, { mss, windowScale, sackPermitted, timestamps });
          expect(length % 4).toBe(0);
          emitTcp(memory, 0, 0, 1, 2, 20 + length, SYN | ACK, 3);
          const segment = new TcpSegment();
          expect(parseTcp(memory, 0, 20 + length, segment)).toBeUndefined();
          expect(segment).toMatchObject({ mss, sackPermitted, windowScale: windowScale ?? -1 });
          expect(segment.hasTimestamps).toBe(timestamps !== undefined);
          if (timestamps !== undefined) expect([segment.tsValue, segment.tsEcho]).toEqual(timestamps);
        },
      ),
    );
  });
  test.each([
    ["an option that claims length 0", "0800", "malformed"],
    ["an option that reaches beyond the header", "010108ff", "malformed"],
    ["a kind without length at the very end", "01010108", "malformed"],
    ["an unknown option", "fd040000", undefined],
  ])("%s is %s: %s", (_name, options, verdict) => {
    const memory = blank(24);
    emitTcp(memory, 0, 0, 1, 2, 24, ACK, 3);
    memory.bytes.set(hexDecode(options.padEnd(8, "0")), 20);
    expect(parseTcp(memory, 0, 24, new TcpSegment())).toBe(verdict);
  });

  test("a TCP header that is cut off, or longer than its packet, is refused", () => {
    const memory = blank(24);
    emitTcp(memory, 0, 0x00010002, 1, 0, 24, SYN, 0);
    const verdicts = [19, 20, 23].map((length) => parseTcp(memory, 0, length, new TcpSegment()));
    expect(verdicts).toEqual(["too-short", "malformed", "malformed"]);
  });
});
