import { describe, expect, it } from "vitest";
import { memoryOf, SlotOutput } from "../../test/scenarios/tcp-harness.ts";
import { type Instant, instant } from "../base/instant.ts";
import { type AddrPort, formatAddrPort, type IpAddress, ip } from "../base/ip.ts";
import { LinkRandom } from "../testing/link.ts";
import { Icmp } from "./icmp.ts";
import { OwnAddresses } from "./own-addresses.ts";
import { Pinger } from "./pinger.ts";
import { type StrayDatagram, UdpHost } from "./udp-host.ts";
import { scalarChecksum as checksum } from "./wire/checksum.ts";
import { parseIpPacket } from "./wire/ip.ts";
import { IpPacket } from "./wire/ip-packet.ts";

const now = instant(1_000);
const own = ip("fd00::1");
const own4 = ip("10.0.0.1");
const peer = ip("fd00::2");
const remote: AddrPort = { address: peer, port: 9 };
const HEADERS = 48;
const IDENTIFICATION_AT = 44;

function setUp(options: { readonly slots?: number; readonly mtu?: number; readonly address?: IpAddress } = {}) {
  const output = new SlotOutput(1280, options.slots);
  const asked: Instant[] = [];
  const addresses = new OwnAddresses(options.address === undefined ? [own, own4] : [options.address]);
  const icmp = new Icmp({ output, checksum, mtu: 1280, pinger: new Pinger(), onIcmpError: () => undefined }, 1);
  const udp = new UdpHost(
    {
      output,
      checksum,
      random: new LinkRandom(1),
      own: addresses,
      icmp,
      pathMtu: (_remote, at) => {
        asked.push(at);
        return options.mtu ?? 1280;
      },
    },
    0xfffffffe,
  );
  const give = (bytes: Uint8Array): string | undefined => {
    const memory = memoryOf(bytes);
    const packet = new IpPacket();
    expect(parseIpPacket(memory, 0, bytes.length, checksum, packet)).toBeUndefined();
    return udp.handle(memory, packet, now);
  };
  return { output, udp, icmp, give, asked };
}

/** A datagram from the peer to port 53, as its own stack sends it. */
function datagram(payload: Uint8Array): Uint8Array {
  const { output, udp } = setUp({ address: peer });
  expect(udp.send(remote, { address: own, port: 53 }, payload, now)).toBe("sent");
  return output.take()[0]!;
}

const ignore = { onDatagram: () => undefined };

describe("datagrams", () => {
  it("reach the socket of the port with their addresses, without copies", () => {
    const { udp, give } = setUp();
    const received: string[] = [];
    udp.bind(
      { port: 53 },
      {
        onDatagram: (payload, from, to, at) =>
          void received.push(`${payload.join()} ${formatAddrPort(from)} ${formatAddrPort(to)} ${at}`),
      },
    );
    expect(give(datagram(Uint8Array.of(1, 2, 3)))).toBeUndefined();
    expect(received).toEqual(["1,2,3 [fd00::2]:9 [fd00::1]:53 1000"]);
  });

  it("with a wrong checksum are dropped, and with none over IPv6, but bytes after their length do not count", () => {
    const { udp, give } = setUp();
    udp.bind({ port: 53 }, ignore);
    const right = datagram(Uint8Array.of(1, 2, 3));
    expect(give(right.with(HEADERS, 9))).toBe("bad-checksum");
    expect(give(right.with(46, 0).with(47, 0))).toBe("bad-checksum");
    const padded = new Uint8Array(right.length + 4).fill(7);
    padded.set(right);
    padded[5] = right[5]! + 4;
    expect(give(padded)).toBeUndefined();
  });

  it("whose length field is shorter than a header or longer than the packet are dropped", () => {
    const { udp, give } = setUp();
    udp.bind({ port: 53 }, ignore);
    const right = datagram(Uint8Array.of(1, 2, 3));
    const length = (bytes: number): Uint8Array => right.with(HEADERS - 3, bytes);
    expect([give(length(7)), give(length(12)), give(length(11))]).toEqual(["malformed", "too-short", undefined]);
  });

  it("to a port without socket go to the fallback, else they are refused", () => {
    const { udp, give, output } = setUp();
    const packet = datagram(Uint8Array.of(1));
    expect([give(packet), output.take().length]).toEqual(["no-socket", 1]);
    const strays: StrayDatagram[] = [];
    let handled = true;
    udp.setFallback({
      onDatagram: (stray) => {
        strays.push(stray);
        return handled;
      },
    });
    expect([give(packet), output.take().length]).toEqual([undefined, 0]);
    expect(strays).toEqual([{ local: { address: own, port: 53 }, remote, payload: Uint8Array.of(1) }]);
    handled = false;
    expect([give(packet), output.take().length]).toEqual(["no-socket", 1]);
    udp.setFallback(undefined);
    expect([give(packet), strays.length]).toEqual(["no-socket", 2]);
  });
});

describe("sending", () => {
  const local = { address: own, port: 53 };

  it("asks for the path's packet size at the time of the datagram", () => {
    const { udp, asked } = setUp();
    udp.send(local, remote, new Uint8Array(1), instant(77));
    expect(udp.maxPayload(remote, instant(78))).toBe(8 * 1_232 - 8);
    expect(asked).toEqual([77, 78]);
  });

  it("writes no checksum of zero", () => {
    // The payload is the complement of the sum of everything else.
    const { udp, output } = setUp();
    udp.send(local, remote, Uint8Array.of(0, 0), now);
    const [first] = output.take();
    udp.send(local, remote, first!.subarray(46, 48), now);
    expect([...output.take()[0]!.subarray(46, 48)]).toEqual([0xff, 0xff]);
  });

  it("splits what one packet does not carry, each datagram under its own identification", () => {
    const { udp, output } = setUp({ mtu: 1280 });
    const payload = Uint8Array.from({ length: 3_000 }, (_, i) => i);
    expect(udp.send(local, remote, payload.subarray(0, 1_232), now)).toBe("sent");
    expect(output.take().map(({ length }) => length)).toEqual([1_280]);
    expect(udp.send(local, remote, payload, now)).toBe("sent");
    expect(udp.send(local, remote, payload.subarray(0, 1_233), now)).toBe("sent");
    const fragments = output.take();
    const identifications = fragments.map((bytes) => new DataView(bytes.buffer).getUint32(IDENTIFICATION_AT));
    expect(identifications).toEqual([0xffffffff, 0xffffffff, 0xffffffff, 0, 0]);
    expect(fragments.map(({ length }) => length)).toEqual([1_280, 1_280, 592, 1_280, 57]);
    const carried = Buffer.concat(fragments.slice(0, 3).map((bytes) => bytes.subarray(HEADERS))).subarray(8);
    expect(new Uint8Array(carried)).toEqual(payload);
  });

  it("refuses a datagram of more than eight fragments, and stops when slots run out", () => {
    const { udp, output } = setUp({ slots: 2 });
    expect(udp.send(local, remote, new Uint8Array(8 * 1_232 - 7), now)).toBe("too-large");
    expect(output.take()).toEqual([]);
    expect(udp.send(local, remote, new Uint8Array(3_000), now)).toBe("no-slot");
    expect(udp.send(local, remote, new Uint8Array(1), now)).toBe("no-slot");
    expect(output.take()).toHaveLength(2);
    expect(udp.send(local, remote, new Uint8Array(2_000), now)).toBe("sent");
  });
});

describe("sockets", () => {
  it("get free ports, are limited in number, and free both when closed", () => {
    const { udp } = setUp();
    const first = udp.bind({ port: 0 }, ignore);
    const second = udp.bind({ port: 0 }, ignore);
    expect(first.port).toBeGreaterThanOrEqual(32_768);
    expect(second.port).not.toBe(first.port);
    expect(() => udp.bind({ port: first.port }, ignore)).toThrow(`UDP port ${first.port} is bound`);
    expect(() => udp.bind({ port: 65_536 }, ignore)).toThrow("port 65536 is not between 0 and 65535");
    for (let port = 1; port <= 16_382; port++) udp.bind({ port }, ignore);
    expect(() => udp.bind({ port: 20_000 }, ignore)).toThrow("already 16384 UDP sockets");
    first.close();
    first.close();
    udp.bind({ port: 20_000 }, ignore);
    expect(() => udp.bind({ port: 20_001 }, ignore)).toThrow("already 16384 UDP sockets");
  });

  it("learn that a destination is unreachable, the fallback only from the destination itself", () => {
    const { udp } = setUp();
    const unreachable: string[] = [];
    const bound = { address: own, port: 53 };
    expect(udp.isBound(bound)).toBe(false);
    udp.unreachable(bound, remote, true);
    udp.setFallback({
      onDatagram: () => true,
      onUnreachable: (from, to) => void unreachable.push(`fallback ${from.port} ${to.port}`),
    });
    expect(udp.isBound(bound)).toBe(true);
    udp.unreachable(bound, remote, false);
    udp.unreachable(bound, remote, true);
    udp.setFallback(undefined);
    udp.bind({ port: 53 }, { ...ignore, onUnreachable: ({ port }) => void unreachable.push(`socket ${port}`) });
    udp.unreachable(bound, remote, false);
    udp.unreachable({ address: own, port: 54 }, remote, false);
    expect([unreachable, udp.isBound(bound)]).toEqual([["fallback 53 9", "socket 9"], true]);
  });
});

describe("queues", () => {
  const local = { address: own, port: 53 };
  const payload = (value: number): Uint8Array => new Uint8Array(100).fill(value);
  const values = (output: SlotOutput): number[] => output.take().map((bytes) => bytes[HEADERS]!);

  it("take turns of eight datagrams, and report when slots run out", () => {
    const { udp, output } = setUp({ slots: 10 });
    const [one, two] = [udp.createQueue(), udp.createQueue()];
    for (let i = 0; i < 10; i++) expect(one.send(local, remote, payload(0), now)).toBe("sent");
    expect([udp.isWaiting, udp.drain(now)]).toEqual([false, true]);
    for (let i = 0; i < 10; i++) expect(one.send(local, remote, payload(1), now)).toBe("queued");
    for (let i = 0; i < 10; i++) expect(two.send(local, remote, payload(2), now)).toBe("queued");
    expect([udp.isWaiting, udp.drain(now), output.take().length]).toEqual([true, false, 10]);
    expect(udp.drain(now)).toBe(false);
    expect(values(output)).toEqual([2, 2, 2, 2, 2, 2, 2, 2, 1, 1]);
    expect([udp.drain(now), values(output), udp.isWaiting]).toEqual([true, [2, 2, 1, 1, 1, 1, 1, 1, 1, 1], false]);
  });

  it("refuse datagrams for a peer whose carrier is full", () => {
    const { udp, output } = setUp();
    const queue = udp.createQueue();
    output.blocked = (address) => address === peer;
    expect(queue.send(local, remote, payload(1), now)).toBe("queue-full");
    expect(queue.send(local, { ...remote, address: ip("fd00::3") }, payload(1), now)).toBe("sent");
  });
});
