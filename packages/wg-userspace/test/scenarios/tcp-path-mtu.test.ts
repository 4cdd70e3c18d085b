import { expect, test } from "vitest";
import { scalarChecksum } from "../../src/netstack/wire/checksum.ts";
import { emitIpHeader, transportChecksum } from "../../src/netstack/wire/ip.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../../src/netstack/wire/ip-packet.ts";
import { memoryOf, Pair, PatternSink, PatternSource } from "./tcp-harness.ts";

const LINK = { rateBps: 50e6, delayMs: 10 };

/** The message of a router that could not forward `packet`. */
function tooBig(packet: Uint8Array, mtu: number): Uint8Array {
  const v6 = packet[0]! >> 4 === 6;
  const quoted = packet.subarray(0, v6 ? 600 : 28);
  const header = v6 ? 40 : 20;
  const bytes = new Uint8Array(header + 8 + quoted.length);
  const memory = memoryOf(bytes);
  const source = packet.slice(v6 ? 24 : 16, v6 ? 40 : 20) as Parameters<typeof emitIpHeader>[2];
  const destination = packet.slice(v6 ? 8 : 12, v6 ? 24 : 16) as Parameters<typeof emitIpHeader>[3];
  const length = 8 + quoted.length;
  emitIpHeader(memory, 0, source, destination, v6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP, length, scalarChecksum);
  memory.view.setUint16(header, v6 ? 0x0200 : 0x0304);
  memory.view.setUint32(header + 4, mtu);
  bytes.set(quoted, header + 8);
  const sum = v6
    ? transportChecksum(memory, 0, header, PROTOCOL_ICMPV6, length, scalarChecksum)
    : ~scalarChecksum(bytes, header, length, 0) & 0xffff;
  memory.view.setUint16(header + 2, sum);
  return bytes;
}

test.each([4, 6] as const)(
  "IPv%i: packet-too-big lowers the segment size and resends at once, without slowing down",
  (family) => {
    const pair = new Pair([{ ...LINK, mtu: 1400 }, LINK], { seed: 3, mtu: 8920, family });
    const [a, b] = pair.connect();
    pair.observe = (from, packet, now) => {
      if (from !== "a" || packet.length <= 1400) return;
      const message = tooBig(packet, 1400);
      pair.a.stack.handlePacket(memoryOf(message), 0, message.length, now);
    };
    const startAt = pair.now;
    new PatternSource(a, 1_000_000, 1);
    const sink = new PatternSink(b, 1);
    expect(pair.runUntil(() => sink.received === 1_000_000, 2000)).toBe(true);
    expect(sink.wrongAt).toBe(-1);
    expect(pair.now - startAt).toBeLessThan(700);
    const header = family === 4 ? 20 : 40;
    expect(a.info.mss).toBe(1400 - header - 32);
    // A second connection to the same destination knows it from the start (RFC 8201 §5.2).
    const [second] = pair.connect({ port: 81 });
    expect(second.info.mss).toBe(1400 - header - 32);
  },
);

test("a packet-too-big about a number that is not in flight changes nothing, and one below the minimum is raised to it", () => {
  const pair = new Pair(LINK, { seed: 3, mtu: 1500 });
  const [a] = pair.connect();
  let packet: Uint8Array | undefined;
  pair.observe = (from, sent) => {
    if (from === "a" && sent.length > 1000) packet ??= sent.slice();
  };
  a.write(new Uint8Array(2000));
  pair.flush();
  const mss = a.info.mss;
  const forged = packet!.slice();
  new DataView(forged.buffer).setUint32(44, 12345);
  const wrong = tooBig(forged, 1300);
  pair.a.stack.handlePacket(memoryOf(wrong), 0, wrong.length, pair.now);
  expect(a.info.mss).toBe(mss);
  expect(pair.a.stack.drops.counts["out-of-window"]).toBe(1);
  const low = tooBig(packet!, 300);
  pair.a.stack.handlePacket(memoryOf(low), 0, low.length, pair.now);
  expect(a.info.mss).toBe(1280 - 72);
});

test("a path that drops full-size packets silently is detected within seconds, and larger ones are tried again later", () => {
  const pair = new Pair([{ ...LINK, mtu: 1300 }, LINK], { seed: 3, mtu: 8920 });
  const [a, b] = pair.connect();
  new PatternSource(a, 1e9, 1);
  const sink = new PatternSink(b, 1);
  expect(pair.runUntil(() => sink.received > 100_000, 3000)).toBe(true);
  expect(a.info.mss).toBe(1280 - 72);
  pair.ab.options = LINK;
  pair.runFor(60_000);
  expect(a.info.mss).toBe(8920 - 72);
  expect(sink.wrongAt).toBe(-1);
});

test("a path that stops carrying large packets in the middle of a transfer continues with smaller ones", () => {
  const pair = new Pair(LINK, { seed: 3, mtu: 8920 });
  const [a, b] = pair.connect();
  new PatternSource(a, 1e9, 1);
  const sink = new PatternSink(b, 1);
  pair.runFor(1000);
  pair.ab.options = { ...LINK, mtu: 1300 };
  pair.runFor(200);
  const before = sink.received;
  expect(pair.runUntil(() => sink.received > before + 100_000, 8000)).toBe(true);
  expect(sink.wrongAt).toBe(-1);
});

test("setMtu changes the segments of open connections in both directions", () => {
  const pair = new Pair(LINK, { seed: 3, mtu: 1280 });
  const [a, b] = pair.connect();
  new PatternSource(a, 3_000_000, 1);
  const sink = new PatternSink(b, 1);
  pair.runFor(100);
  pair.a.stack.setMtu(1000);
  pair.runFor(100);
  const sizes: number[] = [];
  pair.observe = (from, packet) => {
    if (from === "a") sizes.push(packet.length);
  };
  expect(a.info.mss).toBe(928);
  pair.runFor(100);
  expect(Math.max(...sizes)).toBe(1000);
  expect(pair.runUntil(() => sink.ended, 10_000)).toBe(true);
  expect(sink).toMatchObject({ received: 3_000_000, wrongAt: -1 });
});
