import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Host, memoryOf, Pair } from "../../test/scenarios/tcp-harness.ts";
import { addMs, instant } from "../base/instant.ts";
import { type IpAddress, ip } from "../base/ip.ts";
import { scalarChecksum } from "./wire/checksum.ts";
import { emitFragmentHeader, emitIpHeader, fragmentHeaderBytes, ipHeaderBytes } from "./wire/ip.ts";
import { PROTOCOL_FRAGMENT, PROTOCOL_UDP } from "./wire/ip-packet.ts";

const now = instant(5000);
const peers = { 4: ip("10.0.0.9"), 6: ip("fd00::9") } as const;

interface Receiver {
  readonly host: Host;
  readonly heard: Uint8Array[];
}

function receiver(family: 4 | 6 = 6): Receiver {
  const host = new Host(family === 4 ? "10.0.0.1" : "fd00::1");
  const heard: Uint8Array[] = [];
  host.stack.bindUdp({ port: 7 }, { onDatagram: (payload) => void heard.push(payload.slice()) });
  return { host, heard };
}

function give({ host }: Receiver, bytes: Uint8Array, at = now): void {
  host.stack.handlePacket(memoryOf(bytes), 0, bytes.length, at);
}

/** A UDP datagram to port 7, in fragments as a sender of that MTU would cut it. */
function fragments(from: IpAddress, mtu: number, payload: Uint8Array): Uint8Array[] {
  const sender = new Host(from.length === 4 ? "10.0.0.9" : "fd00::9", { mtu });
  const socket = sender.stack.bindUdp({ port: 9 }, { onDatagram: () => undefined });
  const to = ip(from.length === 4 ? "10.0.0.1" : "fd00::1");
  expect(socket.send({ address: to, port: 7 }, payload, now)).toBe("sent");
  return sender.output.take();
}

/** One fragment with any content. */
function fragment(at: number, length: number, more: boolean, identification = 1, from = peers[6]): Uint8Array {
  const header = fragmentHeaderBytes(from);
  const bytes = new Uint8Array(header + length);
  const to = ip(from.length === 4 ? "10.0.0.1" : "fd00::1");
  emitFragmentHeader(memoryOf(bytes), 0, from, to, PROTOCOL_UDP, length, identification, at, more, scalarChecksum);
  return bytes;
}

const dropsOf = ({ host }: Receiver) => host.stack.drops.counts;

describe("datagrams in fragments", () => {
  test.each([4, 6] as const)("go through an IPv%i tunnel whole, up to eight packets' worth", (family) => {
    const pair = new Pair({ delayMs: 5 }, { family });
    const heard: Uint8Array[] = [];
    pair.b.stack.bindUdp({ port: 7 }, { onDatagram: (payload) => void heard.push(payload.slice()) });
    const socket = pair.a.stack.bindUdp({ port: 0 }, { onDatagram: () => undefined });
    const to = { address: pair.b.address, port: 7 };
    const plain = 1280 - ipHeaderBytes(to.address) - 8;
    const most = pair.a.stack.maxUdpPayload(to);
    expect(most).toBe(8 * ((1280 - fragmentHeaderBytes(to.address)) & ~7) - 8);
    let packets = 0;
    pair.observe = (_, packet) => {
      expect(packet.length).toBeLessThanOrEqual(1280);
      packets++;
    };
    const sent = [plain, plain + 1, 1472, 1500, most].map((length) => Uint8Array.from({ length }, (_, i) => i % 251));
    for (const payload of sent) expect(socket.send(to, payload, pair.now)).toBe("sent");
    expect(socket.send(to, new Uint8Array(most + 1), pair.now)).toBe("too-large");
    pair.runFor(100);
    expect(heard).toEqual(sent);
    expect(packets).toBe(1 + 2 + 2 + 2 + 8);
  });

  test("are put together in whatever order they arrive, mixed with others", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(4 as const, 6 as const),
        fc.integer({ min: 1280, max: 1500 }),
        fc.array(fc.integer({ min: 1500, max: 8000 }), { minLength: 1, maxLength: 4 }),
        fc.infiniteStream(fc.nat()),
        (family, mtu, lengths, random) => {
          const to = receiver(family);
          const payloads = lengths.map((length, n) => Uint8Array.from({ length }, (_, i) => (i * 7 + n) & 255));
          const sender = new Host(family === 4 ? "10.0.0.9" : "fd00::9", { mtu });
          const socket = sender.stack.bindUdp({ port: 9 }, { onDatagram: () => undefined });
          for (const payload of payloads) socket.send({ address: to.host.address, port: 7 }, payload, now);
          const pieces = sender.output.take();
          while (pieces.length > 0) give(to, pieces.splice(random.next().value! % pieces.length, 1)[0]!);
          const byContent = (a: Uint8Array, b: Uint8Array) => a[0]! - b[0]!;
          expect(to.heard.sort(byContent)).toEqual(payloads.sort(byContent));
          expect(dropsOf(to)).toEqual({});
        },
      ),
      { numRuns: 60 },
    );
  });

  test("an IPv6 packet with a fragment header but no other fragment is handled like any other", () => {
    const to = receiver();
    const [whole] = fragments(peers[6], 1500, new Uint8Array(5));
    const bytes = new Uint8Array(whole!.length + 8);
    emitIpHeader(memoryOf(bytes), 0, peers[6], to.host.address, PROTOCOL_FRAGMENT, 8 + 13, scalarChecksum);
    bytes[40] = PROTOCOL_UDP;
    bytes.set(whole!.subarray(40), 48);
    give(to, bytes);
    expect(to.heard).toEqual([new Uint8Array(5)]);
  });

  test("a changed byte is found by the checksum over the whole", () => {
    const to = receiver();
    const pieces = fragments(peers[6], 1280, new Uint8Array(3000));
    pieces[1]![200]! ^= 1;
    for (const piece of pieces) give(to, piece);
    expect([to.heard, dropsOf(to)]).toEqual([[], { "bad-checksum": 1 }]);
  });
});

describe("fragments that are an attack or a mistake", () => {
  test.each<[string, Uint8Array[]]>([
    ["overlap by a byte", [fragment(0, 16, true), fragment(8, 16, false)]],
    ["come twice", [fragment(0, 16, true), fragment(0, 16, true)]],
    ["end twice", [fragment(8, 8, false), fragment(16, 8, false)]],
    ["go on behind the end", [fragment(8, 8, false), fragment(16, 8, true)]],
    ["end before what is here", [fragment(16, 8, true), fragment(8, 4, false)]],
    ["are empty", [fragment(8, 0, false)]],
    ["are not the last, and of no round length", [fragment(0, 15, true)]],
    ["end beyond 65535 bytes", [fragment(65528, 16, false)]],
  ])("%s", (_, pieces) => {
    const to = receiver();
    for (const piece of pieces) give(to, piece);
    expect([to.heard, dropsOf(to)]).toEqual([[], { malformed: 1 }]);
  });

  test("one source keeps sixteen packets waiting and takes no room from others", () => {
    const to = receiver();
    const other = fragments(peers[6], 1280, new Uint8Array(2000));
    give(to, other[0]!);
    const attacker = ip("fd00::bad");
    for (let id = 0; id < 100; id++) give(to, fragment(0, 1024, true, id, attacker));
    expect(dropsOf(to)).toEqual({ fragmented: 84 });
    give(to, other[1]!);
    expect(to.heard.length).toBe(1);
  });

  /** A datagram of `total` bytes to port 7, header included and without checksum, in pieces that begin at `starts`. */
  function cut(total: number, starts: readonly number[], identification = 1, from = peers[4]): Uint8Array[] {
    const body = new Uint8Array(total);
    body.set([0, 9, 0, 7, total >> 8, total & 255]);
    return starts.map((at) => {
      const end = Math.min(...starts.filter((start) => start > at), total);
      const bytes = fragment(at, end - at, end < total, identification, from);
      bytes.set(body.subarray(at, end), 20);
      return bytes;
    });
  }
  const every8 = (count: number) => Array.from({ length: count }, (_, i) => 8 * i);

  test.each<[string, Uint8Array[], boolean]>([
    ["the last piece before the first", cut(24, [16, 0]), true],
    ["pieces that touch on both sides", cut(24, [0, 16, 8]), true],
    ["sixty-four pieces", cut(8 * 64, every8(64)), true],
    ["sixty-five", cut(8 * 65, every8(65)), false],
    ["as long as a packet may be", cut(65_515, [0, 65_512]), true],
    ["of two packets", [cut(24, [0, 8])[0]!, cut(24, [0, 8], 2)[1]!], false],
    ["of two sources", [cut(24, [0, 8])[0]!, cut(24, [0, 8], 1, ip("10.0.0.8"))[1]!], false],
    ["a hole in the middle", cut(32, [0, 8, 16]).filter((_, i) => i !== 1), false],
  ])("%s", (_, pieces, whole) => {
    const to = receiver(4);
    for (const piece of pieces) give(to, piece);
    expect(to.heard.length).toBe(whole ? 1 : 0);
  });

  test("256 packets wait at most, the oldest making room", () => {
    const to = receiver();
    const from = (i: number) => ip(`fd00::b:${i.toString(16)}`);
    for (let i = 0; i < 256; i++) give(to, fragment(0, 8, true, 1, from(i)));
    expect(dropsOf(to)).toEqual({});
    give(to, fragment(0, 8, true, 1, from(256)));
    expect(dropsOf(to)).toEqual({ fragmented: 1 });
    give(to, fragment(0, 8, true, 1, from(1))); // its packet is still held, so the repeated fragment overlaps
    expect(dropsOf(to)).toEqual({ fragmented: 1, malformed: 1 });
  });

  test("the seventeenth packet of one source replaces the first of that source", () => {
    const to = receiver();
    for (let id = 0; id < 16; id++) give(to, fragment(0, 8, true, id));
    expect(dropsOf(to)).toEqual({});
    give(to, fragment(0, 8, true, 16));
    expect(dropsOf(to)).toEqual({ fragmented: 1 });
    give(to, fragment(0, 8, true, 1));
    expect(dropsOf(to)).toEqual({ fragmented: 1, malformed: 1 });
  });

  test("from many sources are held to two megabytes, the oldest making room", () => {
    const to = receiver();
    for (let source = 0; source < 64; source++) {
      const from = ip(`fd00::a:${source.toString(16)}`);
      for (let at = 0; at < 60; at++) give(to, fragment(at * 1024, 1024, true, 1, from));
    }
    // 60 KiB each: 34 are within the bound.
    expect(dropsOf(to)).toEqual({ fragmented: 64 - 34 });
  });

  test("that never become complete are dropped after 15 s", () => {
    const to = receiver();
    const [first, second] = fragments(peers[6], 1280, new Uint8Array(2000));
    give(to, first!);
    give(to, second!, addMs(now, 15_000));
    expect([to.heard, dropsOf(to)]).toEqual([[], { fragmented: 1 }]);
    const inTime = receiver();
    give(inTime, first!);
    give(inTime, second!, addMs(now, 14_999));
    expect([inTime.heard.length, dropsOf(inTime)]).toEqual([1, {}]);
  });
});
