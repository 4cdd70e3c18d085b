import { addMs, type Instant, instant } from "../../src/base/instant.ts";
import { type IpAddress, ip, parseAddrPort, parseIp, parsePrefix } from "../../src/base/ip.ts";
import type { PacketMemory } from "../../src/base/ports.ts";
import { Netstack } from "../../src/netstack/stack.ts";
import { scalarChecksum } from "../../src/netstack/wire/checksum.ts";
import { parseIpPacket } from "../../src/netstack/wire/ip.ts";
import { IpPacket } from "../../src/netstack/wire/ip-packet.ts";
import { parseTcp, TcpSegment } from "../../src/netstack/wire/tcp.ts";
import { parseUdp, UdpHeader } from "../../src/netstack/wire/udp.ts";
import type { FuzzTarget, FuzzTargetFactory } from "../../src/testing/fuzz.ts";
import { LinkRandom } from "../../src/testing/link.ts";

const MTU = 1_280;
const TICK_MS = 0.2;
const FLUSH_EVERY = 8;
const MAX_CONNECTIONS = 200;
const OURS = [ip("fd00::1"), ip("10.0.0.1")];
const THEIRS = [ip("fd00::2"), ip("10.0.0.2")];
const PORT = 80;
const FIELDS = { TCP: [6, 16], UDP: [17, 6], ICMP: [1, 2], ICMPV6: [58, 2] } as const;

/** A live stack: connections, listeners, UDP sockets and pings, against packets of its peer that went wrong. */
export const netstackPackets: FuzzTargetFactory = { name: "netstack", create: () => new StackTarget() };

/** The headers alone, at an offset in a larger buffer: nothing behind them may be read. */
export const ipHeaders: FuzzTargetFactory = {
  name: "ip-headers",
  create: () => {
    const stack = new StackTarget();
    const corpus = stack.corpus();
    const [packet, segment, udp] = [new IpPacket(), new TcpSegment(), new UdpHeader()];
    return {
      corpus: () => corpus,
      repair: repairChecksums,
      feed(input) {
        const memory = memoryOf(input);
        if (parseIpPacket(memory, 0, input.length, scalarChecksum, packet) !== undefined) return;
        const { payloadOffset, payloadLength } = packet;
        if (payloadOffset < 20 || payloadOffset + payloadLength > input.length)
          throw new Error("the payload lies outside the packet");
        parseTcp(memory, payloadOffset, payloadLength, segment);
        parseUdp(memory, payloadOffset, payloadLength, udp);
      },
    };
  },
};

/** Spellings of addresses, prefixes and ports. */
export const addressText: FuzzTargetFactory = {
  name: "address-text",
  create: () => {
    const corpus = [
      "fd7a:115c:a1e0::1",
      "::ffff:1.2.3.4",
      "10.0.0.1/8",
      "[fe80::1]:443",
      "1.2.3.4:65535",
      "::/0",
      "::",
    ];
    const encoded = corpus.map((text) => new TextEncoder().encode(text));
    return {
      corpus: () => encoded,
      feed(input) {
        const text = Array.from(input, (byte) => String.fromCharCode(byte)).join("");
        const address = parseIp(text);
        if (address !== undefined && address.length !== 4 && address.length !== 16)
          throw new Error("no address length");
        const prefix = parsePrefix(text);
        if (prefix !== undefined && prefix.bits > 8 * prefix.address.length) throw new Error("a prefix is too long");
        const port = parseAddrPort(text)?.port ?? 0;
        if (port > 65_535) throw new Error("a port is too large");
      },
    };
  },
};

class StackTarget implements FuzzTarget {
  #stack: Netstack;
  readonly #sent: Uint8Array[] = [];
  #peer: Netstack;
  readonly #peerSent: Uint8Array[] = [];
  #now: Instant = instant(1_000);
  #inputs = 0;

  constructor() {
    [this.#stack, this.#peer] = [this.#open(), stackOf(THEIRS, this.#peerSent, 2)];
  }

  #open(): Netstack {
    const stack = stackOf(OURS, this.#sent, 1);
    let accepted = 0;
    stack.listenTcp(
      { port: PORT },
      {
        onRequest: (request) => {
          const connection = request.accept({}, this.#now);
          // Every second connection is read; the others only fill their buffers.
          if (connection !== undefined && accepted++ % 2 === 0)
            connection.handler = {
              onReadable: () => {
                while (connection.read() !== undefined);
              },
            };
        },
      },
    );
    stack.bindUdp({ port: 53 }, { onDatagram: () => undefined });
    stack.setTcpFallback({ onRequest: (request) => request.reject(this.#now) });
    return stack;
  }

  /** Opens a connection in each direction and family, and takes the next segments from the peer. */
  corpus(): readonly Uint8Array[] {
    const seen: Uint8Array[] = [];
    // Broken connections stay until their timers end them, days later on this clock: make room for live ones.
    if (Math.max(this.#stack.connectionCount, this.#peer.connectionCount) > MAX_CONNECTIONS - 20)
      [this.#stack, this.#peer] = [this.#open(), stackOf(THEIRS, this.#peerSent, 2)];
    for (const family of [0, 1]) {
      const [ours, theirs] = [OURS[family]!, THEIRS[family]!];
      const client = this.#peer.connectTcp({ address: ours, port: PORT }, {}, this.#now);
      this.#exchange(seen);
      client.write(new Uint8Array(3_000).fill(family));
      this.#peer.ping("icmp", ours, () => undefined, this.#now);
      this.#peer.ping("tsmp", ours, () => undefined, this.#now);
      this.#stack.ping("icmp", theirs, () => undefined, this.#now);
      this.#peer.sendUdp({ address: theirs, port: 999 }, { address: ours, port: 53 }, new Uint8Array(20), this.#now);
      this.#peer.sendUdp({ address: theirs, port: 999 }, { address: ours, port: 54 }, new Uint8Array(20), this.#now);
      const own = this.#stack.connectTcp({ address: theirs, port: PORT }, {}, this.#now);
      this.#stack.flush(this.#now); // its SYN stays unanswered: the answer may be forged
      own.write(new Uint8Array(10));
      this.#peer.flush(this.#now);
      client.end();
      this.#peer.flush(this.#now);
      seen.push(...this.#peerSent.splice(0), synAckOf(this.#sent.splice(0), seen));
    }
    return seen.filter((packet) => packet.length > 0);
  }

  feed(input: Uint8Array): void {
    this.#now = addMs(this.#now, TICK_MS);
    const due = this.#stack.nextTimeout();
    if (due !== undefined && due <= this.#now) this.#stack.handleTimeout(this.#now);
    this.#stack.handlePacket(memoryOf(input), 0, input.length, this.#now);
    if (++this.#inputs % FLUSH_EVERY === 0) this.#stack.flush(this.#now);
    if (this.#sent.some((packet) => packet.length > MTU)) throw new Error("a packet above the MTU was sent");
    this.#sent.length = 0;
  }

  repair(input: Uint8Array): void {
    repairChecksums(input);
  }

  bounds() {
    return [{ what: "connections", size: this.#stack.connectionCount, limit: MAX_CONNECTIONS }];
  }

  /** Runs both stacks until they are idle; the peer's packets are kept. */
  #exchange(seen: Uint8Array[]): void {
    for (let turns = 0; turns < 8; turns++) {
      this.#now = addMs(this.#now, 1);
      for (const stack of [this.#peer, this.#stack]) {
        stack.handleTimeout(this.#now);
        stack.flush(this.#now);
      }
      const [fromPeer, toPeer] = [this.#peerSent.splice(0), this.#sent.splice(0)];
      seen.push(...fromPeer);
      for (const packet of fromPeer) this.#stack.handlePacket(memoryOf(packet), 0, packet.length, this.#now);
      for (const packet of toPeer) this.#peer.handlePacket(memoryOf(packet), 0, packet.length, this.#now);
    }
  }
}

function stackOf(addresses: readonly IpAddress[], sent: Uint8Array[], seed: number): Netstack {
  const memory = memoryOf(new Uint8Array(MTU + 64));
  return new Netstack({
    addresses,
    mtu: MTU,
    random: new LinkRandom(seed),
    checksum: scalarChecksum,
    maxConnections: MAX_CONNECTIONS,
    tcp: { maxSendBufferBytes: 65_536, maxReceiveBufferBytes: 65_536 },
    output: {
      memory,
      begin: () => (sent.length < 256 ? 16 : -1),
      commit: (length) => void sent.push(memory.bytes.slice(16, 16 + length)),
    },
  });
}

/** The peer's SYN turned into the answer to ours: a handshake that a mutation may complete. */
function synAckOf(ours: readonly Uint8Array[], seen: readonly Uint8Array[]): Uint8Array {
  const syn = ours.find((packet) => isTcp(packet) && packet[tcpAt(packet) + 13] === 2);
  const template = seen.find((packet) => syn !== undefined && isTcp(packet) && packet[0]! >> 4 === syn[0]! >> 4);
  if (syn === undefined || template === undefined) return new Uint8Array(0);
  const answer = template.slice();
  const [from, to] = [tcpAt(syn), tcpAt(answer)];
  answer.set(syn.subarray(from + 2, from + 4), to);
  answer.set(syn.subarray(from, from + 2), to + 2);
  const seq = new DataView(syn.buffer, syn.byteOffset).getUint32(from + 4);
  new DataView(answer.buffer).setUint32(to + 8, (seq + 1) >>> 0);
  answer[to + 13] = 0x12;
  repairChecksums(answer);
  return answer;
}

function isTcp(packet: Uint8Array): boolean {
  return packet.length >= 40 && (packet[0]! >> 4 === 4 ? packet[9] : packet[6]) === 6;
}

function tcpAt(packet: Uint8Array): number {
  return packet[0]! >> 4 === 4 ? 4 * (packet[0]! & 15) : 40;
}

/** Corrects the lengths and checksums of the packet, as far as it has room for them. */
function repairChecksums(packet: Uint8Array): void {
  const isV4 = packet[0]! >> 4 === 4;
  const headerBytes = isV4 ? 4 * (packet[0]! & 15) : 40;
  if (packet.length < Math.max(20, headerBytes)) return;
  const view = new DataView(packet.buffer, packet.byteOffset);
  if (isV4) {
    view.setUint16(2, packet.length);
    view.setUint16(10, 0);
    view.setUint16(10, ~scalarChecksum(packet, 0, headerBytes, 0) & 0xffff);
  } else view.setUint16(4, packet.length - 40);
  const protocol = isV4 ? packet[9]! : packet[6]!;
  const at = Object.values(FIELDS).find(([number]) => number === protocol)?.[1];
  if (at === undefined || packet.length < headerBytes + at + 2) return;
  const length = packet.length - headerBytes;
  const pseudo = protocol === 1 ? 0 : scalarChecksum(packet, isV4 ? 12 : 8, isV4 ? 8 : 32, protocol + length);
  view.setUint16(headerBytes + at, 0);
  view.setUint16(headerBytes + at, ~scalarChecksum(packet, headerBytes, length, pseudo) & 0xffff);
}

function memoryOf(bytes: Uint8Array): PacketMemory {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}
