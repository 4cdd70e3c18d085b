import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Host, memoryOf, Pair } from "../../test/scenarios/tcp-harness.ts";
import { instant } from "../base/instant.ts";
import { formatAddrPort, formatIp, type IpAddress, ip } from "../base/ip.ts";
import { LinkRandom } from "../testing/link.ts";
import { MAX_OUTSTANDING_PINGS } from "./pinger.ts";
import { scalarChecksum } from "./wire/checksum.ts";
import { emitIpHeader, transportChecksum } from "./wire/ip.ts";

const now = instant(5000);
const peer = ip("fd00::99");

/** An IPv6 or IPv4 packet with any payload. */
function packet(source: IpAddress, destination: IpAddress, protocol: number, payload: Uint8Array): Uint8Array {
  const header = source.length === 4 ? 20 : 40;
  const bytes = new Uint8Array(header + payload.length);
  emitIpHeader(memoryOf(bytes), 0, source, destination, protocol, payload.length, scalarChecksum);
  bytes.set(payload, header);
  return bytes;
}

function give(host: Host, bytes: Uint8Array): void {
  host.stack.handlePacket(memoryOf(bytes), 0, bytes.length, now);
}

describe("udp", () => {
  test.each([4, 6] as const)("IPv%i datagrams go both ways between bound sockets", (family) => {
    const pair = new Pair({ delayMs: 5 }, { family });
    const heard: string[] = [];
    const server = pair.b.stack.bindUdp(
      { port: 53 },
      {
        onDatagram: (payload, from, to, at) => {
          heard.push(`${formatAddrPort(to)} got ${payload.length} bytes`);
          expect(server.send(from, payload.slice().reverse(), at)).toBe("sent");
        },
      },
    );
    const client = pair.a.stack.bindUdp(
      { port: 0 },
      { onDatagram: (payload, from) => void heard.push(`${payload.join("")} from port ${from.port}`) },
    );
    expect(client.port).toBeGreaterThanOrEqual(32768);
    expect(client.send({ address: pair.b.address, port: 53 }, Uint8Array.of(1, 2, 3), pair.now)).toBe("sent");
    pair.runFor(100);
    expect(heard).toEqual([`${formatAddrPort({ address: pair.b.address, port: 53 })} got 3 bytes`, "321 from port 53"]);
  });

  test("a datagram that is too large, or lacks a slot or an address, is reported at once", () => {
    const host = new Host("fd00::1", { slots: 1 });
    const socket = host.stack.bindUdp({ port: 7 }, { onDatagram: () => undefined });
    const remote = { address: peer, port: 9 };
    expect(socket.send(remote, new Uint8Array(1232), now)).toBe("sent");
    expect(socket.send(remote, new Uint8Array(1), now)).toBe("no-slot");
    expect(socket.send(remote, new Uint8Array(9849), now)).toBe("too-large");
    expect(socket.send({ address: ip("10.0.0.1"), port: 9 }, new Uint8Array(1), now)).toBe("no-address");
    expect(() => host.stack.bindUdp({ port: 7 }, { onDatagram: () => undefined })).toThrow("UDP port 7 is bound");
    socket.close();
    expect(socket.send(remote, new Uint8Array(1), now)).toBe("closed");
    host.stack.bindUdp({ port: 7 }, { onDatagram: () => undefined });
  });

  test.each([4, 6] as const)(
    "IPv%i: a port without a socket is answered with port unreachable, which reaches the sender's socket",
    (family) => {
      const pair = new Pair({ delayMs: 5 }, { family });
      const unreachable: string[] = [];
      const socket = pair.a.stack.bindUdp(
        { port: 0 },
        { onDatagram: () => undefined, onUnreachable: (remote) => void unreachable.push(formatAddrPort(remote)) },
      );
      const remote = { address: pair.b.address, port: 9999 };
      socket.send(remote, new Uint8Array(700), pair.now);
      pair.runFor(100);
      expect(unreachable).toEqual([formatAddrPort(remote)]);
      expect(pair.b.stack.drops.counts).toEqual({ "no-socket": 1 });
    },
  );

  test("unreachable messages are limited to 100 per second, and the fallback can prevent them", () => {
    const host = new Host("fd00::1");
    const datagram = packet(peer, host.address, 17, Uint8Array.of(0, 7, 1, 0, 0, 8, 0, 0));
    memoryOf(datagram).view.setUint16(46, transportChecksum(memoryOf(datagram), 0, 40, 17, 8, scalarChecksum));
    for (let i = 0; i < 300; i++) give(host, datagram);
    expect(host.output.take()).toHaveLength(50);
    const ports: number[] = [];
    host.stack.setUdpFallback(({ local }) => ports.push(local.port) > 0);
    give(host, datagram);
    expect(ports).toEqual([256]);
    expect(host.output.take()).toEqual([]);
  });

  test("a queue refuses datagrams to a peer whose carrier is full and serves the others", () => {
    const host = new Host("fd00::1", { slots: 1 });
    const full = new Set<string>();
    Object.assign(host.output, { blocked: (remote: IpAddress) => full.has(formatIp(remote)) });
    const queue = host.stack.createUdpQueue();
    const send = (to: string) =>
      queue.send({ address: host.address, port: 7 }, { address: ip(to), port: 9 }, new Uint8Array(1), now);
    full.add("fd00::3");
    expect([send("fd00::3"), send("fd00::2"), send("fd00::2"), send("fd00::4")]).toEqual([
      "queue-full",
      "sent",
      "queued",
      "queued",
    ]);
    full.add("fd00::2");
    host.output.take();
    expect(host.stack.flush(now)).toBe(false);
    expect(host.output.take().map((sent) => sent[39])).toEqual([4]);
    expect(queue.length).toBe(0);
  });

  test("a datagram with a wrong checksum is dropped; one without is accepted on IPv4 and dropped on IPv6", () => {
    const heard: number[] = [];
    for (const [address, from] of [
      ["10.0.0.1", "10.0.0.9"],
      ["fd00::1", "fd00::9"],
    ] as const) {
      const host = new Host(address);
      host.stack.bindUdp({ port: 256 }, { onDatagram: (payload) => void heard.push(payload.length) });
      give(host, packet(ip(from), host.address, 17, Uint8Array.of(0, 7, 1, 0, 0, 9, 0x12, 0x34, 5)));
      give(host, packet(ip(from), host.address, 17, Uint8Array.of(0, 7, 1, 0, 0, 9, 0, 0, 5)));
      expect(host.stack.drops.counts["bad-checksum"]).toBe(address === "10.0.0.1" ? 1 : 2);
    }
    expect(heard).toEqual([1]);
  });
});

describe("ping", () => {
  test.each([
    ["icmp", 4],
    ["icmp", 6],
    ["tsmp", 4],
    ["tsmp", 6],
  ] as const)("%s over IPv%i is answered, and the round trip measured", (kind, family) => {
    const pair = new Pair({ delayMs: 20 }, { family });
    const replies: number[] = [];
    pair.a.stack.ping(kind, pair.b.address, (rttMs) => void replies.push(rttMs), pair.now);
    pair.runFor(1000);
    expect(replies).toEqual([40]);
  });

  test("a TSMP pong echoes the 8 bytes and names port 0 (bytes of the protocol description)", () => {
    const host = new Host("fd00::1");
    give(host, packet(peer, host.address, 99, Uint8Array.of(0x70, 1, 2, 3, 4, 5, 6, 7, 8, 99)));
    const [pong] = host.output.take();
    expect(pong!.subarray(40)).toEqual(Uint8Array.of(0x6f, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0));
    expect([pong!.subarray(8, 24), pong!.subarray(24, 40), pong![6]]).toEqual([
      new Uint8Array(host.address),
      new Uint8Array(peer),
      99,
    ]);
  });

  test("a cancelled ping does not call back, and neither does one that too many others followed", () => {
    const pair = new Pair({ delayMs: 20 });
    const replies: string[] = [];
    const ping = (name: string) => pair.a.stack.ping("tsmp", pair.b.address, () => void replies.push(name), pair.now);
    ping("cancelled").cancel();
    ping("oldest");
    pair.flush();
    for (let i = 0; i < MAX_OUTSTANDING_PINGS - 1; i++)
      pair.a.stack.ping("tsmp", ip("fd00::77"), () => undefined, pair.now);
    ping("newest");
    pair.runFor(1000);
    expect(replies).toEqual(["newest"]);
  });

  test("a reply from another host, or with other data, is ignored", () => {
    const host = new Host("fd00::1");
    const replies: number[] = [];
    host.stack.ping("tsmp", peer, (rttMs) => void replies.push(rttMs), now);
    const data = host.output.take()[0]!.subarray(41, 49);
    const pong = (from: string, bytes: Uint8Array) =>
      give(host, packet(ip(from), host.address, 99, Uint8Array.of(0x6f, ...bytes, 0, 0)));
    pong("fd00::98", data);
    pong(
      "fd00::99",
      Uint8Array.from(data, (b) => b ^ 1),
    );
    expect(replies).toEqual([]);
    pong("fd00::99", data);
    pong("fd00::99", data);
    expect(replies).toEqual([0]);
  });
});

describe("security 13: packets for other hosts", () => {
  test("is dropped and counted by reason", () => {
    const host = new Host("fd00::1");
    give(host, packet(peer, ip("fd00::2"), 17, new Uint8Array(8)));
    give(host, packet(ip("ff02::1"), host.address, 17, new Uint8Array(8)));
    give(host, packet(ip("::"), host.address, 17, new Uint8Array(8)));
    give(host, packet(peer, host.address, 132, new Uint8Array(8)));
    give(host, packet(peer, host.address, 44, new Uint8Array(8)));
    give(host, new Uint8Array(0));
    give(host, Uint8Array.of(0x50, 1, 2));
    expect(host.stack.drops.counts).toEqual({
      "not-for-us": 1,
      malformed: 3,
      "unsupported-protocol": 2,
      "too-short": 1,
    });
    expect(host.output.take()).toEqual([]);
  });

  test("TCP segments with a wrong checksum or header length are dropped and counted, and not answered", () => {
    const pair = new Pair({ delayMs: 5 });
    pair.a.stack.connectTcp({ address: pair.b.address, port: 80 }, {}, pair.now);
    pair.a.stack.flush(pair.now);
    const syn = pair.a.output.take()[0]!;
    give(pair.b, syn.with(44, syn[44]! ^ 1)); // its sequence number
    const short = syn.with(52, 0x40).with(56, 0).with(57, 0);
    const sum = transportChecksum(memoryOf(short), 0, 40, 6, short.length - 40, scalarChecksum);
    memoryOf(short).view.setUint16(56, sum);
    give(pair.b, short);
    pair.b.stack.flush(now);
    expect([pair.b.stack.drops.counts, pair.b.output.take()]).toEqual([{ "bad-checksum": 1, malformed: 1 }, []]);
    give(pair.b, syn);
    pair.b.stack.flush(now);
    expect(pair.b.output.take()).toHaveLength(1);
  });

  test("an ICMP error fails a connection attempt only if it quotes the SYN of that attempt", () => {
    const pair = new Pair({ delayMs: 5 });
    const errors: (string | undefined)[] = [];
    const client = pair.a.stack.connectTcp({ address: pair.b.address, port: 80 }, {}, pair.now);
    client.handler.onClosed = (error) => void errors.push(error?.code);
    pair.a.stack.flush(pair.now);
    const syn = pair.a.output.take()[0]!;
    const unreachable = (quoted: Uint8Array) => {
      const body = new Uint8Array(8 + quoted.length);
      body[0] = 1;
      body[1] = 4;
      body.set(quoted, 8);
      const bytes = packet(pair.b.address, pair.a.address, 58, body);
      memoryOf(bytes).view.setUint16(42, transportChecksum(memoryOf(bytes), 0, 40, 58, body.length, scalarChecksum));
      pair.a.stack.handlePacket(memoryOf(bytes), 0, bytes.length, pair.now);
    };
    const other = syn.slice();
    other[47] = other[47]! ^ 1;
    unreachable(other);
    pair.flush();
    expect(client.state).toBe("SYN_SENT");
    unreachable(syn);
    pair.flush();
    expect(errors).toEqual(["ERR_CONNECTION_REFUSED"]);
  });
});

describe("limits", () => {
  test("connections are limited, and errors name the next step", () => {
    const host = new Host("fd00::1");
    expect(() => host.stack.connectTcp({ address: ip("10.0.0.1"), port: 1 }, {}, now)).toThrow(
      expect.objectContaining({ code: "ERR_ADDRESS_NOT_AVAILABLE" }),
    );
    expect(() => host.stack.connectTcp({ address: peer, port: 0 }, {}, now)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
    host.stack.listenTcp({ port: 1 }, { onRequest: () => undefined });
    expect(() => host.stack.listenTcp({ port: 1 }, { onRequest: () => undefined })).toThrow(
      expect.objectContaining({ code: "ERR_ADDRESS_IN_USE" }),
    );
    for (let i = 0; i < 16384; i++) host.stack.connectTcp({ address: peer, port: 1 + (i % 60000) }, {}, now);
    expect(() => host.stack.connectTcp({ address: peer, port: 1 }, {}, now)).toThrow(
      expect.objectContaining({ code: "ERR_LIMIT", retryable: true }),
    );
  });

  test("no bytes make the stack throw, answer with more packets than it got, or stop working", () => {
    const random = new LinkRandom(99);
    const pair = new Pair({ delayMs: 1 }, { seed: 8 });
    const recorded: Uint8Array[] = [];
    pair.observe = (from, sent) => {
      if (from === "a" && recorded.length < 200) recorded.push(sent.slice());
    };
    const [a, b] = pair.connect();
    b.handler.onReadable = () => void b.read();
    for (let i = 0; i < 20; i++) {
      a.write(new Uint8Array(100 + 100 * i));
      pair.runFor(5);
    }
    pair.a.stack.ping("icmp", pair.b.address, () => undefined, pair.now);
    pair.a.stack.ping("tsmp", pair.b.address, () => undefined, pair.now);
    pair.a.stack.sendUdp(
      { address: pair.a.address, port: 5 },
      { address: pair.b.address, port: 6 },
      new Uint8Array(9),
      pair.now,
    );
    pair.runFor(100);
    const host = pair.b;
    fc.assert(
      fc.property(fc.nat(), fc.nat(0xffff), fc.nat(7), fc.boolean(), fc.boolean(), (pick, at, bit, cut, reseal) => {
        let bytes = recorded[pick % recorded.length]!.slice();
        const position = at % bytes.length;
        bytes[position] = bytes[position]! ^ (1 << bit);
        if (cut) bytes = bytes.slice(0, random.uint32() % bytes.length);
        // Right checksums reach deeper.
        if (reseal && bytes.length >= 60 && bytes[6] === 6) {
          const memory = memoryOf(bytes);
          const length = Math.min(memory.view.getUint16(4), bytes.length - 40);
          memory.view.setUint16(56, 0);
          memory.view.setUint16(56, transportChecksum(memory, 0, 40, 6, length, scalarChecksum));
        }
        host.stack.handlePacket(memoryOf(bytes), 0, bytes.length, pair.now);
        host.stack.flush(pair.now);
        expect(host.output.take().length).toBeLessThanOrEqual(2);
      }),
      { numRuns: 3000 },
    );
    const replies: number[] = [];
    pair.a.stack.ping("tsmp", pair.b.address, (rttMs) => void replies.push(rttMs), pair.now);
    pair.runFor(100);
    expect(replies).toEqual([2]);
  });
});

describe("turns", () => {
  test("connections send four segments each, in turn", () => {
    const pair = new Pair({ delayMs: 1 });
    const connections = [80, 81, 82].map((port) => pair.connect({ port })[0]);
    const order: number[] = [];
    pair.observe = (from, sent) => {
      if (from === "a" && sent.length > 100) order.push(memoryOf(sent).view.getUint16(42) - 80);
    };
    for (const connection of connections) connection.write(new Uint8Array(9 * 1208));
    pair.flush();
    expect(order.join("")).toBe("000011112222000011112222012");
  });

  test("a turn that ends for lack of slots continues where it stopped", () => {
    const pair = new Pair({ delayMs: 1 }, { slots: 3 });
    const connections = [80, 81].map((port) => pair.connect({ port })[0]);
    const order: number[] = [];
    pair.observe = (from, sent) => {
      if (from === "a" && sent.length > 100) order.push(memoryOf(sent).view.getUint16(42) - 80);
    };
    for (const connection of connections) connection.write(new Uint8Array(5 * 1208));
    pair.flush();
    expect([order.length, order.filter((which) => which === 0).length]).toEqual([10, 5]);
  });

  test("a carrier that never blocks need not say so", () => {
    const pair = new Pair({ delayMs: 1 });
    Object.assign(pair.a.output, { blocked: undefined });
    const [client, server] = pair.connect();
    client.write(new Uint8Array(10));
    pair.runFor(10);
    expect(server.readableLength).toBe(10);
    const queue = pair.a.stack.createUdpQueue();
    const from = { address: pair.a.address, port: 1 };
    expect(queue.send(from, { address: pair.b.address, port: 2 }, new Uint8Array(1), pair.now)).toBe("sent");
  });
});

describe("connections by remote address", () => {
  test("all to one address can be aborted: both ends learn of it, others stay open", () => {
    const pair = new Pair({ delayMs: 5 });
    const [client, server] = pair.connect();
    pair.b.stack.abortConnections((remote) => formatIp(remote) === "fd00::77");
    expect(server.state).toBe("ESTABLISHED");
    pair.b.stack.abortConnections((remote) => formatIp(remote) === formatIp(pair.a.address));
    pair.runFor(100);
    expect([client.state, server.state]).toEqual(["CLOSED", "CLOSED"]);
  });

  test("one whose carrier is full waits, and others do not", () => {
    const pair = new Pair({ delayMs: 5 });
    const [slow] = pair.connect({ port: 80 });
    const [fast] = pair.connect({ port: 81 });
    let blocked = true;
    pair.a.output.blocked = () => blocked;
    const sent = (): number => pair.ab.sentPackets;
    const before = sent();
    slow.write(new Uint8Array(100));
    pair.flush();
    expect(sent()).toBe(before);
    blocked = false;
    fast.write(new Uint8Array(100));
    pair.flush();
    expect(sent()).toBe(before + 2);
  });
});
