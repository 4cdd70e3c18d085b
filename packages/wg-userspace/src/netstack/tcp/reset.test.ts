import { describe, expect, it } from "vitest";
import { memoryOf, SlotOutput } from "../../../test/scenarios/tcp-harness.ts";
import { type AddrPort, ip } from "../../base/ip.ts";
import { scalarChecksum } from "../wire/checksum.ts";
import { parseIpPacket, transportSum } from "../wire/ip.ts";
import { IpPacket } from "../wire/ip-packet.ts";
import { ACK, FIN, parseTcp, RST, SYN, TcpSegment } from "../wire/tcp.ts";
import { Resets } from "./reset.ts";

const local: AddrPort = { address: ip("10.0.0.1"), port: 80 };
const remote: AddrPort = { address: ip("10.0.0.2"), port: 40_000 };

function setUp(slots?: number) {
  const output = new SlotOutput(1280, slots);
  return { output, resets: new Resets(output, scalarChecksum) };
}

function segment(fields: Partial<TcpSegment>): TcpSegment {
  return Object.assign(new TcpSegment(), { flags: 0, seq: 0, ack: 0, payloadLength: 0 }, fields);
}

/** The only packet that was sent, parsed, with its checksums verified. */
function sent(output: SlotOutput) {
  const packets = output.take();
  expect(packets).toHaveLength(1);
  const memory = memoryOf(packets[0]!);
  const packet = new IpPacket();
  expect(parseIpPacket(memory, 0, memory.bytes.length, scalarChecksum, packet)).toBeUndefined();
  expect(transportSum(memory, packet, scalarChecksum)).toBe(0xffff);
  const reset = new TcpSegment();
  expect(parseTcp(memory, packet.payloadOffset, packet.payloadLength, reset)).toBeUndefined();
  expect([reset.sourcePort, reset.destinationPort, reset.payloadLength, reset.window]).toEqual([80, 40_000, 0, 0]);
  expect([packets[0]!.subarray(12, 16), packets[0]!.subarray(16, 20)]).toEqual([
    new Uint8Array(local.address),
    new Uint8Array(remote.address),
  ]);
  return { flags: reset.flags, seq: reset.seq, ack: reset.ack };
}

describe("a reset (RFC 9293 §3.10.7.1)", () => {
  it.each([
    ["takes its number from an acknowledgment", { flags: ACK | FIN, seq: 5, ack: 77 }, { flags: RST, seq: 77, ack: 0 }],
    ["acknowledges data", { seq: 5, payloadLength: 3 }, { flags: RST | ACK, seq: 0, ack: 8 }],
    ["acknowledges a SYN", { flags: SYN, seq: 5, payloadLength: 3 }, { flags: RST | ACK, seq: 0, ack: 9 }],
    ["acknowledges a FIN", { flags: FIN, seq: 5 }, { flags: RST | ACK, seq: 0, ack: 6 }],
    ["counts around 2^32", { flags: SYN | FIN, seq: 0xffffffff }, { flags: RST | ACK, seq: 0, ack: 1 }],
  ] as const)("%s", (_name, fields, expected) => {
    const { output, resets } = setUp();
    expect(resets.answer(segment(fields), local, remote)).toBe(true);
    expect(sent(output)).toEqual(expected);
  });

  it("refuses a request by acknowledging its SYN", () => {
    const { output, resets } = setUp();
    expect(resets.refuse(0xffffffff, local, remote)).toBe(true);
    expect(sent(output)).toEqual({ flags: RST | ACK, seq: 0, ack: 0 });
  });

  it("reports that there is no slot", () => {
    const { resets } = setUp(0);
    expect([resets.refuse(1, local, remote), resets.answer(segment({}), local, remote)]).toEqual([false, false]);
  });
});
