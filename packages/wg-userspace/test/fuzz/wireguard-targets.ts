import { bytesEqual, utf8 } from "../../src/base/bytes.ts";
import type { DropReason } from "../../src/base/errors.ts";
import { addMs } from "../../src/base/instant.ts";
import { ipFromBytes } from "../../src/base/ip.ts";
import { nodeCryptoSuite } from "../../src/io/host/crypto-suite.ts";
import type { FuzzTarget, FuzzTargetFactory } from "../../src/testing/fuzz.ts";
import {
  ipv4Of,
  ipv4Packet,
  ipv6Of,
  ipv6Packet,
  joinedPair,
  type WireguardHost,
  type WireguardLink,
} from "../../src/testing/wireguard-link.ts";
import { INITIATION_LENGTH, parseMessage, RESPONSE_LENGTH } from "../../src/wireguard/messages.ts";

/** Time between two inputs: many messages per second, and still long enough for timers in a long run. */
const TICK_MS = 0.1;
const TIMERS_EVERY = 64;
const MAX_MESSAGE_BYTES = 1_500;
const MAC_BYTES = 16;
const MAX_INNER_BYTES = 1_280;
const SOURCES = Array.from({ length: 8 }, (_, i) => ({ id: Uint8Array.of(198, 51, 100, i, 1, i) }));

/** The four message layouts alone. */
export const wireguardMessages: FuzzTargetFactory = {
  name: "wireguard-messages",
  create: () => {
    const { link, b } = establishedPair();
    const valid = capture(link, () => b.send(ipv6Packet(2, 1, 100)));
    const corpus = [
      ...valid,
      ...[148, 92, 64].map((length, i) => Uint8Array.of(i + 1, 0, 0, 0, ...new Array(length - 4).fill(7))),
    ];
    return {
      corpus: () => corpus,
      feed(input) {
        const message = parseMessage(input, 0, input.length);
        if (message?.kind === "transport" && message.sealedPacket.length !== input.length - 16)
          throw new Error("a transport message lost bytes");
      },
    };
  },
};

/** A whole device with an established session, against messages from anywhere. */
export const wireguardDevice: FuzzTargetFactory = {
  name: "wireguard-device",
  create: () => new DeviceTarget(),
};

class DeviceTarget implements FuzzTarget {
  readonly #link: WireguardLink;
  readonly #a: WireguardHost;
  readonly #b: WireguardHost;
  readonly #mac1Key: Uint8Array;
  readonly #freeSlots: readonly [tx: number, rx: number];
  #inputs = 0;

  constructor() {
    const { link, a, b } = establishedPair();
    this.#link = link;
    this.#a = a;
    this.#b = b;
    this.#mac1Key = nodeCryptoSuite.blake2s(utf8("mac1----"), a.key);
    this.#freeSlots = [a.cipher.tx.free, a.cipher.rx.free];
  }

  corpus(): readonly Uint8Array[] {
    const link = this.#link;
    link.passes = () => true;
    link.run(6_000); // a new handshake is due, and the last one is old enough for another
    const packets = [ipv6Packet(2, 1, 20), ipv4Packet(2, 1, 900), ipv6Packet(9, 1, 20), ipv6Packet(2, 1, 0)];
    const initiation = capture(link, () => this.#b.device.startHandshake(this.#b.peer(this.#a), link.now));
    const transports = packets.flatMap((packet) => capture(link, () => this.#b.send(packet)));
    forget(link);
    return [...initiation, ...transports];
  }

  feed(input: Uint8Array): void {
    const [host, link] = [this.#a, this.#link];
    link.passes = () => false;
    link.now = addMs(link.now, TICK_MS);
    const delivered = host.delivered.length;
    host.receive(input.subarray(0, MAX_MESSAGE_BYTES), SOURCES[this.#inputs % SOURCES.length]!);
    for (const { packet } of host.delivered.slice(delivered)) checkDelivered(packet, input);
    if (++this.#inputs % TIMERS_EVERY === 0) {
      host.device.handleTimeout(link.now);
      host.device.flush(link.now);
    }
    forget(link);
  }

  repair(input: Uint8Array): void {
    const isHandshake =
      (input[0] === 1 && input.length === INITIATION_LENGTH) || (input[0] === 2 && input.length === RESPONSE_LENGTH);
    if (!isHandshake) return;
    const mac1At = input.length - 2 * MAC_BYTES;
    input.set(nodeCryptoSuite.macBlake2s(this.#mac1Key, input.subarray(0, mac1At)), mac1At);
  }

  bounds() {
    const { tx, rx } = this.#a.cipher;
    return [
      { what: "leased TX slots", size: this.#freeSlots[0] - tx.free, limit: 0 },
      { what: "leased RX slots", size: this.#freeSlots[1] - rx.free, limit: 0 },
      {
        what: "drop reasons",
        size: Object.keys(this.#a.device.drops.counts satisfies Partial<Record<DropReason, number>>).length,
        limit: 64,
      },
    ];
  }
}

/** What is inside transport messages: the peer seals any input, for a device that must not trust it. */
export const wireguardInner: FuzzTargetFactory = {
  name: "wireguard-inner",
  create: () => {
    const { link, a, b } = establishedPair();
    const everywhere = [new Uint8Array(4), new Uint8Array(16)].map((zero) => ({ address: ipFromBytes(zero), bits: 0 }));
    b.device.addPeer({ publicKey: a.key, allowedIPs: everywhere }, link.now);
    return {
      corpus() {
        link.passes = () => true;
        link.run(6_000);
        return [ipv6Packet(2, 1, 20), ipv4Packet(2, 1, 900), ipv6Packet(9, 1, 20), ipv6Packet(2, 1, 0)];
      },
      feed(input) {
        link.now = addMs(link.now, TICK_MS);
        const messages = capture(link, () => b.send(input.subarray(0, MAX_INNER_BYTES)));
        for (const message of messages) a.receive(message, b.source);
        for (const { packet } of a.delivered) checkDelivered(packet, input);
        forget(link);
      },
    };
  },
};

/** A delivered packet has its header, is no longer than what was sent with its padding, and comes from the peer's address. */
function checkDelivered(packet: Uint8Array, sent: Uint8Array): void {
  const isV4 = packet[0]! >> 4 === 4;
  if (packet.length < (isV4 ? 20 : 40) || packet.length > 16 * Math.ceil(sent.length / 16))
    throw new Error("a packet of another length");
  const source = isV4 ? packet.subarray(12, 16) : packet.subarray(8, 24);
  if (!bytesEqual(source, isV4 ? ipv4Of(2) : ipv6Of(2)))
    throw new Error("a packet from an address that is not allowed");
}

function establishedPair(): { link: WireguardLink; a: WireguardHost; b: WireguardHost } {
  const { link, a, b } = joinedPair(nodeCryptoSuite);
  a.send(ipv6Packet(1, 2, 10));
  link.run(1_000);
  if (b.delivered.length !== 1) throw new Error("the session did not come up");
  return { link, a, b };
}

/** Messages that an action sends, which then do not arrive. */
function capture(link: WireguardLink, action: () => void): Uint8Array[] {
  const before = link.sent.length;
  link.passes = () => false;
  action();
  return link.sent.slice(before).map(({ bytes }) => bytes);
}

/** Clears what the test link recorded, which is not memory of the device. */
function forget(link: WireguardLink): void {
  link.sent.length = 0;
  for (const host of link.hosts) host.delivered.length = host.events.length = host.sources.length = 0;
}
