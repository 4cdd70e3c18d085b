import { describe, expect, test } from "vitest";
import { Host, memoryOf } from "../../test/scenarios/tcp-harness.ts";
import { addMs, instant } from "../base/instant.ts";
import { formatAddrPort, type IpAddress, ip } from "../base/ip.ts";
import { scalarChecksum } from "./wire/checksum.ts";
import { emitIpHeader, parseIpPacket, transportChecksum, transportSum } from "./wire/ip.ts";
import { IpPacket, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_UDP } from "./wire/ip-packet.ts";

const now = instant(5000);
const FAMILIES = [4, 6] as const;
type Family = (typeof FAMILIES)[number];
const own = (family: Family) => (family === 4 ? "10.0.0.1" : "fd00::1");
const peerOf = (family: Family): IpAddress => ip(family === 4 ? "10.0.0.9" : "fd00::9");
const headerOf = (family: Family) => (family === 4 ? 20 : 40);

function packet(source: IpAddress, destination: IpAddress, protocol: number, payload: Uint8Array): Uint8Array {
  const header = source.length === 4 ? 20 : 40;
  const bytes = new Uint8Array(header + payload.length);
  emitIpHeader(memoryOf(bytes), 0, source, destination, protocol, payload.length, scalarChecksum);
  bytes.set(payload, header);
  return bytes;
}

/** An ICMP message of the peer with the right checksum. */
function icmp(family: Family, message: Uint8Array): Uint8Array {
  const protocol = family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
  const bytes = packet(peerOf(family), ip(own(family)), protocol, message);
  const memory = memoryOf(bytes);
  const header = headerOf(family);
  const sum =
    family === 4
      ? ~scalarChecksum(bytes, header, message.length, 0) & 0xffff
      : transportChecksum(memory, 0, header, protocol, message.length, scalarChecksum);
  memory.view.setUint16(header + 2, sum);
  return bytes;
}

function give(host: Host, bytes: Uint8Array, at = now): void {
  host.stack.handlePacket(memoryOf(bytes), 0, bytes.length, at);
}

/** The ICMP messages that a host sent to the peer, checksums verified. */
function messages(host: Host, family: Family): Uint8Array[] {
  return host.output.take().map((bytes) => {
    const parsed = new IpPacket();
    const memory = memoryOf(bytes);
    expect(parseIpPacket(memory, 0, bytes.length, scalarChecksum, parsed)).toBeUndefined();
    expect(parsed.protocol).toBe(family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6);
    const sum =
      family === 4
        ? scalarChecksum(bytes, parsed.payloadOffset, parsed.payloadLength, 0)
        : transportSum(memory, parsed, scalarChecksum);
    expect(sum).toBe(0xffff);
    const { sourceOffset, destinationOffset, addressLength } = parsed;
    expect([
      bytes.subarray(sourceOffset, sourceOffset + addressLength),
      bytes.subarray(destinationOffset, destinationOffset + addressLength),
    ]).toEqual([new Uint8Array(host.address), new Uint8Array(peerOf(family))]);
    return bytes.slice(parsed.payloadOffset, parsed.payloadOffset + parsed.payloadLength);
  });
}

const withoutSum = (message: Uint8Array) => {
  const copy = message.slice();
  copy.fill(0, 2, 4);
  return copy;
};

describe.each(FAMILIES)("echo over IPv%i", (family) => {
  const [request, reply] = family === 4 ? [8, 0] : [128, 129];
  const echo = (data: Uint8Array) => Uint8Array.of(request, 0, 0, 0, 0x12, 0x34, 0, 7, ...data);

  test("a reply repeats identifier, number and data (RFC 792, RFC 4443 §4.2)", () => {
    const host = new Host(own(family));
    give(host, icmp(family, echo(Uint8Array.of(9, 8, 7))));
    const [answer] = messages(host, family);
    expect(withoutSum(answer!)).toEqual(Uint8Array.of(reply, 0, 0, 0, 0x12, 0x34, 0, 7, 9, 8, 7));
    give(host, icmp(family, echo(new Uint8Array(0))));
    expect(messages(host, family)).toHaveLength(1);
  });

  test("a request is answered up to the size that our packets may have", () => {
    const host = new Host(own(family));
    const largest = 1280 - headerOf(family) - 8;
    give(host, icmp(family, echo(new Uint8Array(largest))));
    expect(messages(host, family)[0]).toHaveLength(largest + 8);
    give(host, icmp(family, echo(new Uint8Array(largest + 1))));
    expect([messages(host, family), host.stack.drops.counts]).toEqual([[], { "too-long": 1 }]);
  });

  test("a wrong checksum, a cut header and an unknown type are dropped by name", () => {
    const host = new Host(own(family));
    const wrong = icmp(family, echo(Uint8Array.of(1, 2)));
    wrong[wrong.length - 1] = 3;
    give(host, wrong);
    give(host, icmp(family, echo(new Uint8Array(0)).subarray(0, 7)));
    give(host, icmp(family, Uint8Array.of(200, 0, 0, 0, 0, 0, 0, 0)));
    give(host, icmp(family, Uint8Array.of(family === 4 ? 128 : 8, 0, 0, 0, 0, 0, 0, 0))); // of the other family
    expect(host.stack.drops.counts).toEqual({ "bad-checksum": 1, "too-short": 1, "unknown-type": 2 });
    expect(host.output.take()).toEqual([]);
  });

  test("without a slot there is no answer", () => {
    const host = new Host(own(family), { slots: 0 });
    give(host, icmp(family, echo(new Uint8Array(0))));
    expect(host.stack.drops.counts).toEqual({ "no-slot": 1 });
  });

  test("requests count up, and only a reply with their identifier and data is one", () => {
    const host = new Host(own(family));
    const replies: number[] = [];
    host.stack.ping("icmp", peerOf(family), (rttMs) => void replies.push(rttMs), now);
    host.stack.ping("icmp", peerOf(family), (rttMs) => void replies.push(rttMs), now);
    const [first, second] = messages(host, family);
    expect([first![0], first![1], first!.length]).toEqual([request, 0, 16]);
    expect(second!.subarray(4, 6)).toEqual(first!.subarray(4, 6));
    expect([first!.subarray(6, 8), second!.subarray(6, 8)]).toEqual([Uint8Array.of(0, 1), Uint8Array.of(0, 2)]);
    const answer = withoutSum(first!);
    answer[0] = reply;
    for (const at of [4, 5, 15]) {
      const other = answer.slice();
      other[at] = other[at]! ^ 1;
      give(host, icmp(family, other));
    }
    expect([replies, host.stack.drops.counts]).toEqual([[], { "no-socket": 3 }]);
    give(host, icmp(family, answer), addMs(now, 30));
    expect(replies).toEqual([30]);
  });

  test("an echo request that finds no slot is dropped and counted", () => {
    const host = new Host(own(family), { slots: 0 });
    host.stack.ping("icmp", peerOf(family), () => undefined, now);
    expect(host.stack.drops.counts).toEqual({ "no-slot": 1 });
  });
});

/** A UDP datagram of the peer to a port of the host. */
function datagram(family: Family, length: number, port = 9999): Uint8Array {
  const body = new Uint8Array(8 + length);
  const memory = memoryOf(body);
  memory.view.setUint16(0, 7);
  memory.view.setUint16(2, port);
  memory.view.setUint16(4, body.length);
  for (let i = 0; i < length; i++) body[8 + i] = i & 255;
  const bytes = packet(peerOf(family), ip(own(family)), PROTOCOL_UDP, body);
  const header = headerOf(family);
  const sum = transportChecksum(memoryOf(bytes), 0, header, PROTOCOL_UDP, body.length, scalarChecksum);
  memoryOf(bytes).view.setUint16(header + 6, sum);
  return bytes;
}

describe.each(FAMILIES)("port unreachable over IPv%i", (family) => {
  const [type, code] = family === 4 ? [3, 3] : [1, 4];
  const limit = family === 4 ? 576 : 1280;

  test("quotes the packet, as much of it as fits what every path carries", () => {
    const host = new Host(own(family), { mtu: 1500 });
    const short = datagram(family, 5);
    give(host, short);
    const [message] = messages(host, family);
    expect(withoutSum(message!)).toEqual(Uint8Array.of(type, code, 0, 0, 0, 0, 0, 0, ...short));
    const long = datagram(family, 1400);
    give(host, long);
    const [cut] = messages(host, family);
    expect(cut!.length + headerOf(family)).toBe(limit);
    expect(cut!.subarray(8)).toEqual(long.subarray(0, cut!.length - 8));
  });

  test("about a datagram that is no longer held quotes the headers it had", () => {
    const host = new Host(own(family));
    const whole = datagram(family, 300);
    const header = headerOf(family);
    const quote = whole.slice(0, header + 8);
    quote.fill(0, header + 6, header + 8); // the checksum over the missing payload
    host.stack.refuseUdp({ address: host.address, port: 9999 }, { address: peerOf(family), port: 7 }, 300, now);
    const [message] = messages(host, family);
    const written = withoutSum(message!);
    written.fill(0, 8 + header + 6, 8 + header + 8);
    expect(written).toEqual(Uint8Array.of(type, code, 0, 0, 0, 0, 0, 0, ...quote));
  });

  test("is sent fifty times at once and a hundred times per second at most (RFC 4443 §2.4)", () => {
    const host = new Host(own(family));
    const refuse = (at = now) =>
      host.stack.refuseUdp({ address: host.address, port: 1 }, { address: peerOf(family), port: 2 }, 0, at);
    for (let i = 0; i < 60; i++) refuse();
    expect(host.output.take()).toHaveLength(50);
    for (let i = 0; i < 5; i++) refuse(addMs(now, 20));
    expect(host.output.take()).toHaveLength(2);
    give(host, datagram(family, 1), addMs(now, 29));
    expect(host.output.take()).toEqual([]);
  });

  test("without a slot nothing is sent", () => {
    const host = new Host(own(family), { slots: 0 });
    give(host, datagram(family, 1));
    host.stack.refuseUdp({ address: host.address, port: 1 }, { address: peerOf(family), port: 2 }, 0, now);
    expect(host.stack.drops.counts).toEqual({ "no-socket": 1 });
  });
});

describe.each(FAMILIES)("errors about our packets over IPv%i", (family) => {
  /** A host with a socket on port 7 that sent one datagram to port 9 of the peer. */
  function sender() {
    const host = new Host(own(family), { mtu: 2000 });
    host.stack.setMtu(1500);
    const unreachable: string[] = [];
    const socket = host.stack.bindUdp(
      { port: 7 },
      { onDatagram: () => undefined, onUnreachable: (remote) => void unreachable.push(formatAddrPort(remote)) },
    );
    const remote = { address: peerOf(family), port: 9 };
    socket.send(remote, new Uint8Array(20), now);
    return { host, socket, unreachable, remote, sent: host.output.take()[0]! };
  }
  const error = (type: number, code: number, value: number, quote: Uint8Array) => {
    const message = new Uint8Array(8 + quote.length);
    message[0] = type;
    message[1] = code;
    memoryOf(message).view.setUint32(4, value);
    message.set(quote, 8);
    return icmp(family, message);
  };
  const unreachable = (quote: Uint8Array, code = family === 4 ? 3 : 4) => error(family === 4 ? 3 : 1, code, 0, quote);
  const tooBig = (mtu: number, quote: Uint8Array) => (family === 4 ? error(3, 4, mtu, quote) : error(2, 0, mtu, quote));

  test("reach the socket they are about, whatever the code", () => {
    const { host, unreachable: heard, remote, sent } = sender();
    give(host, unreachable(sent));
    give(host, unreachable(sent, 0));
    expect(heard).toEqual([formatAddrPort(remote), formatAddrPort(remote)]);
    expect(host.stack.drops.counts).toEqual({});
  });

  test("eight bytes of the transport header are enough, seven are not", () => {
    const { host, unreachable: heard, sent } = sender();
    give(host, unreachable(sent.subarray(0, headerOf(family) + 7)));
    expect([heard.length, host.stack.drops.counts]).toEqual([0, { "too-short": 1 }]);
    give(host, unreachable(sent.subarray(0, headerOf(family) + 8)));
    expect(heard.length).toBe(1);
  });

  test("that quote another family, another host or another port are dropped", () => {
    const { host, unreachable: heard, sent } = sender();
    const otherFamily = sent.slice();
    otherFamily[0] = otherFamily[0]! ^ 0x20;
    give(host, unreachable(otherFamily));
    const otherHost = sent.slice();
    const source = family === 4 ? 15 : 23;
    otherHost[source] = otherHost[source]! ^ 2;
    give(host, unreachable(otherHost));
    const otherPort = sent.slice();
    otherPort[headerOf(family) + 1] = 8;
    give(host, unreachable(otherPort));
    expect([heard, host.stack.drops.counts]).toEqual([[], { malformed: 1, "not-for-us": 1 }]);
  });

  test("a smaller packet size is obeyed for ten minutes, but none below the family's minimum", () => {
    const { host, socket, remote, sent } = sender();
    const packets = (at = now) => {
      socket.send(remote, new Uint8Array(1400), at);
      return host.output.take().map((bytes) => bytes.length);
    };
    expect(packets()).toHaveLength(1);
    give(host, tooBig(1300, sent));
    expect(Math.max(...packets())).toBeLessThanOrEqual(1300);
    expect(packets()).toHaveLength(2);
    give(host, tooBig(1400, sent)); // a larger one changes nothing
    expect(Math.max(...packets())).toBeLessThanOrEqual(1400);
    give(host, tooBig(100, sent));
    const minimum = family === 4 ? 576 : 1280;
    const sizes = packets();
    expect(Math.max(...sizes)).toBeLessThanOrEqual(minimum);
    expect(Math.max(...sizes)).toBeGreaterThan(minimum - 16);
    expect(packets(addMs(now, 599_999)).length).toBeGreaterThan(1);
    expect(packets(addMs(now, 600_000))).toHaveLength(1);
  });

  test("a size that is no smaller than ours changes nothing", () => {
    const { host, socket, remote, sent } = sender();
    give(host, tooBig(1500, sent));
    give(host, tooBig(9000, sent));
    host.stack.setMtu(2000);
    socket.send(remote, new Uint8Array(1900), now);
    expect(host.output.take()).toHaveLength(1);
  });
});

test("options of a quoted IPv4 header are skipped, and a header of a wrong length is malformed", () => {
  const host = new Host(own(4));
  const heard: string[] = [];
  host.stack.bindUdp(
    { port: 7 },
    { onDatagram: () => undefined, onUnreachable: (remote) => void heard.push(formatAddrPort(remote)) },
  );
  const error = (words: number, length: number) => {
    const message = new Uint8Array(8 + length);
    message.set([3, 3], 0);
    const quote = new Uint8Array(60);
    quote[0] = 0x40 | words;
    quote[9] = PROTOCOL_UDP;
    quote.set(host.address, 12);
    quote.set(peerOf(4), 16);
    quote.set([0, 7, 0, 9], 4 * words);
    message.set(quote.subarray(0, length), 8);
    return icmp(4, message);
  };
  give(host, error(6, 24 + 8));
  expect(heard).toEqual(["10.0.0.9:9"]);
  give(host, error(6, 24 + 7));
  give(host, error(4, 40));
  expect([heard.length, host.stack.drops.counts]).toEqual([1, { malformed: 2 }]);
});
