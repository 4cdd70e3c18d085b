/** WireGuard devices joined by a fake link in virtual time. Messages are copied, delayed, and recorded. */
import { addMs, earliest, type Instant, instant } from "../base/instant.ts";
import type { IpAddress, IpPrefix } from "../base/ip.ts";
import { clampPrivateKey, type NodePrivateKey, type NodePublicKey, nodePrivateKey } from "../base/keys.ts";
import type { CryptoSuite, PacketCipher, RandomSource } from "../base/ports.ts";
import {
  Device,
  type DeviceConfig,
  type DeviceOutput,
  type MessageSource,
  type PeerConfig,
} from "../wireguard/device.ts";
import type { Peer } from "../wireguard/peer.ts";
import { suiteCipher } from "./suite-cipher.ts";

/** Wall-clock time of instant 0. */
const EPOCH_UNIX_MS = 1_700_000_000_000;
const MAX_STEPS = 100_000;

/** Repeatable, and no more random than tests need (mulberry32). */
export function seededRandom(seed: number): RandomSource {
  let state = seed >>> 0;
  const uint32 = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return { uint32, bytes: (length) => Uint8Array.from({ length }, () => uint32() & 255) };
}

export interface SentMessage {
  readonly from: WireguardHost;
  readonly to: WireguardHost;
  readonly at: Instant;
  readonly bytes: Uint8Array;
}

export type HostOptions = Partial<Omit<DeviceConfig, "privateKey" | "crypto" | "cipher">> & {
  readonly privateKey?: NodePrivateKey;
  readonly crypto?: CryptoSuite;
  readonly slots?: number;
  readonly stride?: number;
};

/** One device and all that came out of it. */
export class WireguardHost implements DeviceOutput {
  readonly name: string;
  readonly device: Device;
  readonly cipher: PacketCipher;
  /** What it looks like to others; replace it to roam. */
  source: MessageSource;
  readonly delivered: { readonly peer: Peer; readonly packet: Uint8Array; readonly at: Instant }[] = [];
  readonly events: string[] = [];
  readonly sources: MessageSource[] = [];
  onPacket: ((packet: Uint8Array) => void) | undefined;
  readonly #link: WireguardLink;

  constructor(name: string, link: WireguardLink, options: HostOptions, seed: number, crypto: CryptoSuite) {
    const random = options.random ?? seededRandom(seed);
    this.name = name;
    this.#link = link;
    this.cipher = suiteCipher(crypto, options.slots ?? 256, options.stride);
    this.source = { id: Uint8Array.of(192, 0, 2, seed & 255, 0x6c, 0xca) };
    this.device = new Device(
      {
        unixMs: (now) => EPOCH_UNIX_MS + now,
        mtu: 1280,
        ...options,
        random,
        crypto,
        cipher: this.cipher,
        privateKey: options.privateKey ?? nodePrivateKey(clampPrivateKey(random.bytes(32))),
      },
      this,
    );
  }

  get key(): NodePublicKey {
    return this.device.publicKey;
  }

  peer(other: WireguardHost): Peer {
    const peer = this.device.peer(other.key);
    if (peer === undefined) throw new Error(`${this.name} has no peer ${other.name}`);
    return peer;
  }

  /** Sends one inner packet; flushes unless told not to. */
  send(packet: Uint8Array, flush = true): void {
    const slot = this.cipher.tx.lease();
    if (slot < 0) throw new Error(`${this.name} has no free slot`);
    this.cipher.memory.bytes.set(packet, slot + 16);
    this.device.encapsulate(slot, packet.length, this.#link.now);
    if (flush) this.device.flush(this.#link.now);
  }

  /** One message from the network; flushes unless told not to. */
  receive(message: Uint8Array, source: MessageSource, flush = true): void {
    const slot = this.cipher.rx.lease();
    if (slot < 0) throw new Error(`${this.name} has no free slot`);
    this.cipher.memory.bytes.set(message, slot);
    this.device.decapsulate(slot, message.length, source, this.#link.now);
    if (flush) this.device.flush(this.#link.now);
  }

  sendMessage(peer: Peer | undefined, slot: number, length: number, replyTo: MessageSource | undefined): void {
    const bytes = this.cipher.memory.bytes.slice(slot, slot + length);
    this.cipher.tx.release(slot);
    this.#link.carry(this, peer?.publicKey, replyTo, bytes);
  }
  deliverPacket(peer: Peer, offset: number, length: number): void {
    const packet = this.cipher.memory.bytes.slice(offset, offset + length);
    this.delivered.push({ peer, packet, at: this.#link.now });
    this.onPacket?.(packet);
  }
  authenticated(_peer: Peer, source: MessageSource): void {
    this.sources.push(source);
  }
  sessionEstablished(_peer: Peer): void {
    this.events.push("session-established");
  }
  handshakeGaveUp(_peer: Peer): void {
    this.events.push("handshake-gave-up");
  }
}

export class WireguardLink {
  now: Instant = instant(1_000);
  latencyMs = 10;
  /** Called for every message: false loses it. */
  passes: (message: SentMessage) => boolean = () => true;
  readonly sent: SentMessage[] = [];
  readonly hosts: WireguardHost[] = [];
  readonly #crypto: CryptoSuite;
  #flying: SentMessage[] = [];

  constructor(crypto: CryptoSuite) {
    this.#crypto = crypto;
  }

  addHost(name: string, options: HostOptions = {}): WireguardHost {
    const host = new WireguardHost(name, this, options, this.hosts.length + 1, options.crypto ?? this.#crypto);
    this.hosts.push(host);
    return host;
  }

  carry(
    from: WireguardHost,
    to: NodePublicKey | undefined,
    replyTo: MessageSource | undefined,
    bytes: Uint8Array,
  ): void {
    const target = this.hosts.find((host) =>
      to === undefined ? host.source === replyTo : host.key.every((byte, i) => byte === to[i]),
    );
    if (target === undefined) return;
    const message = { from, to: target, at: this.now, bytes };
    this.sent.push(message);
    if (this.passes(message)) this.#flying.push(message);
  }

  /** Runs everything that happens in the next `ms` milliseconds, from deadline to deadline. */
  run(ms: number): void {
    const end = addMs(this.now, ms);
    for (let step = 0; ; step++) {
      if (step === MAX_STEPS) throw new Error(`no end after ${MAX_STEPS} steps at ${this.now}`);
      const next = this.#next();
      if (next === undefined || next > end) break;
      if (next > this.now) this.now = next;
      this.#step();
    }
    this.now = end;
  }

  #next(): Instant | undefined {
    let next: Instant | undefined;
    for (const message of this.#flying) next = earliest(next, addMs(message.at, this.latencyMs));
    for (const host of this.hosts) next = earliest(next, host.device.nextTimeout());
    return next;
  }

  #step(): void {
    const due = this.#flying.filter((message) => message.at + this.latencyMs <= this.now);
    this.#flying = this.#flying.filter((message) => message.at + this.latencyMs > this.now);
    for (const message of due) message.to.receive(message.bytes, message.from.source, false);
    for (const host of this.hosts) {
      host.device.handleTimeout(this.now);
      host.device.flush(this.now);
    }
  }
}

/** Two hosts that know each other; `a` has 10.0.0.1 and fd00::1, `b` has 10.0.0.2 and fd00::2. */
export function joinedPair(
  crypto: CryptoSuite,
  options: { readonly a?: HostOptions; readonly b?: HostOptions; readonly peer?: Partial<PeerConfig> } = {},
): { link: WireguardLink; a: WireguardHost; b: WireguardHost } {
  const link = new WireguardLink(crypto);
  const a = link.addHost("a", options.a);
  const b = link.addHost("b", options.b);
  a.device.addPeer({ publicKey: b.key, allowedIPs: prefixesOf(2), ...options.peer }, link.now);
  b.device.addPeer({ publicKey: a.key, allowedIPs: prefixesOf(1), ...options.peer }, link.now);
  return { link, a, b };
}

export function ipv4Of(host: number): IpAddress {
  return Uint8Array.of(10, 0, host >> 8, host & 255) as IpAddress;
}

export function ipv6Of(host: number): IpAddress {
  const address = new Uint8Array(16);
  address[0] = 0xfd;
  address[14] = host >> 8;
  address[15] = host & 255;
  return address as IpAddress;
}

export function prefixesOf(host: number): IpPrefix[] {
  return [
    { address: ipv4Of(host), bits: 32 },
    { address: ipv6Of(host), bits: 128 },
  ];
}

/** An IPv6 packet with no next header, whose payload repeats `fill`. */
export function ipv6Packet(from: number, to: number, payloadBytes: number, fill = 0x5a): Uint8Array {
  const packet = new Uint8Array(40 + payloadBytes).fill(fill, 40);
  packet[0] = 0x60;
  packet[4] = payloadBytes >> 8;
  packet[5] = payloadBytes & 255;
  packet[6] = 59;
  packet.set(ipv6Of(from), 8);
  packet.set(ipv6Of(to), 24);
  return packet;
}

export function ipv4Packet(from: number, to: number, payloadBytes: number, fill = 0x5a): Uint8Array {
  const total = 20 + payloadBytes;
  const packet = new Uint8Array(total).fill(fill, 20);
  packet[0] = 0x45;
  packet[2] = total >> 8;
  packet[3] = total & 255;
  packet.set(ipv4Of(from), 12);
  packet.set(ipv4Of(to), 16);
  return packet;
}
