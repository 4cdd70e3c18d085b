/**
 * Whole engines on a {@link VirtualInternet}, with relays, STUN servers and a coordinator that tells peers about each other: what
 * the shells of a client and an agent do, in virtual time.
 */
import { hexEncode } from "../base/bytes.ts";
import { addMs, type Instant, instant } from "../base/instant.ts";
import { type AddrPort, addrPortEqual, formatAddrPort, type IpAddress, parseIp } from "../base/ip.ts";
import { clampPrivateKey, discoPrivateKey, type NodePublicKey, nodePrivateKey } from "../base/keys.ts";
import type { CryptoSuite, RandomSource } from "../base/ports.ts";
import { Engine, type EngineEvent } from "../engine.ts";
import { describePath, udpPath } from "../magicsock/path.ts";
import { PortChangePolicy } from "../magicsock/port-change.ts";
import { predictPorts } from "../netcheck/port-prediction.ts";
import {
  encodeBindingRequest,
  encodeBindingResponse,
  looksLikeStun,
  parseBindingRequest,
  parseBindingResponse,
} from "../stun/message.ts";
import { type Segment, UdpHost, type VirtualInternet } from "./internet.ts";
import { suiteCipher } from "./suite-cipher.ts";

const EPOCH_UNIX_MS = 1_700_000_000_000;
/** A relay connection with more than this waiting is full. */
const RELAY_QUEUE_MS = 200;
const MAX_STEPS = 2_000_000;
/** Mappings are checked this often, as the shells do it: while a peer has no direct path, and otherwise. */
const STUN_INTERVAL_MS = 23_000;
const STUN_IDLE_MS = 5 * 60_000;
/** Mappings older than this are checked again for a new peer. */
const STUN_FRESH_MS = 27_000;
const STUN_RETRY_MS = 300;

export interface NodeOptions {
  readonly addresses: readonly IpAddress[];
  readonly segment: Segment;
  readonly region?: number;
  readonly blockDirect?: boolean;
  readonly publishEndpoints?: boolean;
  readonly mtu?: number;
  readonly port?: number;
  /** What clients set for the agents that they connect to. */
  readonly persistentKeepaliveMs?: number;
}

/** Nodes, relays and STUN servers, and the clock that moves them. */
export class VirtualTunnel {
  readonly internet: VirtualInternet;
  readonly crypto: CryptoSuite;
  readonly random: RandomSource;
  readonly nodes: VirtualNode[] = [];
  readonly stunServers: AddrPort[] = [];
  /** Requests in a row to a server that does not answer. The shells send about as many as tests of loss set here. */
  stunTries = 1;
  /** Delay of one way through a relay in ms, by region; 15 without an entry. */
  readonly relayDelayMs = new Map<number, number>();
  readonly relaysDown = new Set<number>();
  relayedPackets = 0;
  /** Rate of all relays together, as one queue; it holds back and loses nothing, as TCP does. */
  relayBitsPerSecond = Number.POSITIVE_INFINITY;
  #relayFreeAt = 0;

  constructor(internet: VirtualInternet, crypto: CryptoSuite) {
    this.internet = internet;
    this.crypto = crypto;
    this.random = internet.random;
  }

  get now(): Instant {
    return this.internet.now;
  }

  /** How long a packet waits that is handed to the relay now. */
  get relayQueueMs(): number {
    return Math.max(0, this.#relayFreeAt - this.now);
  }

  addStunServer(address: IpAddress, port = 3478): void {
    const host = new UdpHost(this.internet.core, [address], port);
    host.onDatagram = (payload, from) => {
      const request = parseBindingRequest(payload);
      if (request !== undefined) host.send(from, encodeBindingResponse(request.transactionId, from));
    };
    this.stunServers.push({ address, port });
  }

  addNode(options: NodeOptions): VirtualNode {
    const node = new VirtualNode(this, options, this.nodes.length);
    this.nodes.push(node);
    return node;
  }

  /** Tells two nodes about each other, and about every change from now on, with the delay of a coordinator. */
  introduce(a: VirtualNode, b: VirtualNode, delayMs = 20): void {
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      one.knownBy.push(() => this.internet.at(this.now + delayMs, () => other.program(one)));
      other.program(one);
    }
  }

  relay(region: number, from: VirtualNode, destination: NodePublicKey, bytes: Uint8Array): void {
    if (this.relaysDown.has(region) || from.relayCut) return;
    this.relayedPackets++;
    const key = hexEncode(destination);
    this.#relayFreeAt = Math.max(this.#relayFreeAt, this.now) + (bytes.length * 8000) / this.relayBitsPerSecond;
    this.internet.at(this.#relayFreeAt + (this.relayDelayMs.get(region) ?? 15), () => {
      const target = this.nodes.find((node) => hexEncode(node.engine.publicKey) === key);
      if (target === undefined || target.relayCut || target.host.frozen || this.relaysDown.has(region)) return;
      target.woken();
      target.engine.handleRelayPacket(region, from.engine.publicKey, bytes, 0, bytes.length, this.now);
    });
  }

  /** Lets `ms` of virtual time pass, or less when `until` holds earlier. Returns whether it held. */
  run(ms: number, until: () => boolean = () => false): boolean {
    const end = addMs(this.now, ms);
    for (let step = 0; step < MAX_STEPS; step++) {
      for (const node of this.nodes) node.turn();
      if (until()) return true;
      let next = this.internet.nextEvent();
      for (const node of this.nodes) next = Math.min(next, node.nextTimeout());
      if (next > end) break;
      this.internet.now = instant(Math.max(next, this.now));
      this.internet.runDue();
    }
    if (this.internet.nextEvent() <= end) {
      const waits = this.nodes.map((node) => `${node.name} ${node.nextTimeout() - this.now}`).join(", ");
      throw new Error(
        `the simulation does not come to rest: event in ${this.internet.nextEvent() - this.now}, ${waits}`,
      );
    }
    this.internet.now = end;
    return until();
  }
}

/** Slots for packets of Ethernet, jumbo frames and loopback. */
const STRIDES = [1536, 9216, 66_112];

export class VirtualNode {
  readonly engine: Engine;
  readonly host: UdpHost;
  readonly name: string;
  readonly events: string[] = [];
  /** Called when what this node publishes has changed. */
  readonly knownBy: (() => void)[] = [];
  /** Its connection to every relay is broken. */
  relayCut = false;
  region: number;
  sentDatagrams = 0;
  /** Moments at which a process would have been woken, by a deadline or by what arrived. */
  wakes = 0;
  #wokenAt: number | undefined;
  readonly #net: VirtualTunnel;
  readonly #options: NodeOptions;
  readonly #stunPending = new Map<string, AddrPort>();
  readonly #stunAnswered = new Set<AddrPort>();
  #stunTries = 0;
  readonly #mapped = new Map<string, AddrPort>();
  #stunAt: number;
  #stunnedAt = Number.NEGATIVE_INFINITY;
  #wasFrozen = false;
  readonly #portChanges = new PortChangePolicy();
  readonly #largest: number;

  constructor(net: VirtualTunnel, options: NodeOptions, index: number) {
    this.#net = net;
    this.#options = options;
    this.name = `node${index}`;
    this.region = options.region ?? 1;
    this.#stunAt = net.now;
    this.host = new UdpHost(options.segment, options.addresses, options.port ?? 41_000 + index);
    const mtu = options.mtu ?? 1420;
    const cipher = suiteCipher(net.crypto, 128, STRIDES.find((bytes) => bytes >= mtu + 32)!);
    this.#largest = cipher.rx.stride;
    this.engine = new Engine(
      {
        privateKey: nodePrivateKey(clampPrivateKey(net.random.bytes(32))),
        addresses: [this.tunnelAddressOf(index)],
        mtu,
        disco: {
          privateKey: discoPrivateKey(clampPrivateKey(net.random.bytes(32))),
          blockDirect: options.blockDirect ?? false,
        },
      },
      { crypto: net.crypto, random: net.random, cipher, unixMs: (now) => EPOCH_UNIX_MS + now },
      {
        sendDatagram: (to, slot, length) => {
          this.sentDatagrams++;
          if (!this.host.frozen) this.host.send(to.address, cipher.memory.bytes.subarray(slot, slot + length));
          cipher.tx.release(slot);
        },
        sendProbe: (to, packet, ttl) => {
          if (!this.host.frozen) this.host.send(to.address, packet, ttl);
        },
        sendRelay: (region, destination, bytes, offset, length) =>
          net.relay(region, this, destination, bytes.slice(offset, offset + length)),
        congested: () => false,
        relayCongested: () => net.relayQueueMs > RELAY_QUEUE_MS,
        event: (event) => this.#event(event),
      },
      net.now,
    );
    this.host.onDatagram = (payload, from) => this.#datagram(payload, from);
  }

  tunnelAddressOf(index: number): IpAddress {
    return parseIp(`fd7a:115c:a1e0::${(index + 1).toString(16)}`)!;
  }
  get tunnelAddress(): IpAddress {
    return this.tunnelAddressOf(this.#net.nodes.indexOf(this));
  }

  /** What is published: STUN results first, then the local addresses. */
  get endpoints(): AddrPort[] {
    if (this.#options.blockDirect || this.#options.publishEndpoints === false) return [];
    const local = this.host.addresses.map((address) => ({ address, port: this.host.port }));
    const all = [...this.#mapped.values(), ...local];
    return all.filter((one, i) => all.findIndex((other) => addrPortEqual(one, other)) === i);
  }

  /** "direct <address>", "relay <region>" or "none". */
  pathTo(peer: VirtualNode): string {
    const path = this.engine.peerStatus(peer.engine.publicKey)?.path;
    return path === undefined ? "none" : path.kind === "udp" ? `direct ${describePath(path)}` : describePath(path);
  }
  isDirectTo(peer: VirtualNode): boolean {
    return this.pathTo(peer).startsWith("direct");
  }

  program(peer: VirtualNode): void {
    const isNew = this.engine.peerStatus(peer.engine.publicKey) === undefined;
    if (isNew && this.#net.now - this.#stunnedAt > STUN_FRESH_MS) this.restun();
    this.engine.setPeer(
      {
        publicKey: peer.engine.publicKey,
        allowedIPs: [{ address: peer.tunnelAddress, bits: 128 }],
        homeRegion: peer.region,
        udpEndpoints: peer.endpoints,
        discoKey: peer.engine.discoKey!,
        persistentKeepaliveMs: this.#options.persistentKeepaliveMs,
      },
      this.#net.now,
    );
  }

  /** Checks its mappings now, as after a change of network. */
  restun(): void {
    this.#stunAt = this.#net.now;
  }

  /** What the shell does when the host's addresses changed. */
  networkChanged(): void {
    this.#mapped.clear();
    this.publish();
    this.engine.networkChanged(true, this.#net.now);
    this.restun();
  }

  publish(): void {
    this.engine.setOwnEndpoints(this.endpoints, this.#guesses(), this.#net.now);
    for (const tell of this.knownBy) tell();
  }

  #guesses(): AddrPort[] {
    const v4 = [...this.#mapped.values()].filter(({ address }) => address.length === 4);
    return predictPorts(v4.map(({ port }) => port)).map((port) => ({ address: v4[0]!.address, port }));
  }

  nextTimeout(): number {
    if (this.host.frozen) return Number.POSITIVE_INFINITY;
    return Math.min(this.#stunAt, this.engine.nextTimeout(true) ?? Number.POSITIVE_INFINITY);
  }

  /** Counts {@link wakes}. */
  woken(): void {
    if (this.#wokenAt === this.#net.now) return;
    this.#wokenAt = this.#net.now;
    this.wakes++;
  }

  turn(): void {
    if (this.host.frozen) {
      this.#wasFrozen = true;
      return;
    }
    const { now } = this.#net;
    if (this.nextTimeout() <= now) this.woken();
    if (this.#wasFrozen) {
      this.#wasFrozen = false;
      this.#portChanges.reset();
      this.networkChanged();
    }
    if (now >= this.#stunAt) this.#stun();
    if ((this.engine.nextTimeout() ?? Number.POSITIVE_INFINITY) <= now) this.engine.handleTimeout(now);
    while (this.engine.flush(now));
  }

  #stun(): void {
    const { now, stunTries } = this.#net;
    if (this.#stunTries === 0) this.#stunAnswered.clear();
    this.#stunTries++;
    const last = this.#stunTries >= stunTries || this.#stunAnswered.size === this.#net.stunServers.length;
    const isLookedFor = this.engine.peers().some(({ path }) => path?.kind !== "udp");
    this.#stunAt = now + (!last ? STUN_RETRY_MS : isLookedFor ? STUN_INTERVAL_MS : STUN_IDLE_MS);
    this.#stunnedAt = now;
    if (last) this.#stunTries = 0;
    this.#stunPending.clear();
    for (const server of this.#net.stunServers) {
      if (this.#stunAnswered.has(server)) continue;
      const id = this.#net.random.bytes(12);
      this.#stunPending.set(hexEncode(id), server);
      this.host.send(server, encodeBindingRequest(id));
    }
    if (this.#mapped.size === 0) this.publish();
  }

  #datagram(payload: Uint8Array, from: AddrPort): void {
    const { now } = this.#net;
    this.woken();
    if (payload.length > this.#largest) return; // as with the sockets
    if (!looksLikeStun(payload)) {
      this.engine.handleDatagram(this.#pathFrom(from), payload, now);
      return;
    }
    const response = parseBindingResponse(payload);
    const server = response === undefined ? undefined : this.#stunPending.get(hexEncode(response.transactionId));
    if (server === undefined) return;
    this.#stunAnswered.add(server);
    const before = this.endpoints.map(formatAddrPort).join();
    this.#mapped.set(formatAddrPort(server), response!.mapped);
    if (this.endpoints.map(formatAddrPort).join() !== before) this.publish();
  }

  #pathFrom(from: AddrPort) {
    const text = formatAddrPort(from);
    return this.engine.udpPathFrom(text, from.port, () => from.address) ?? udpPath(from);
  }

  #event(event: EngineEvent): void {
    if (event.kind === "direct-path-suspected") this.#stunAt = Math.min(this.#stunAt, this.#net.now);
    if (event.kind === "direct-path-stuck") {
      const connected = this.engine.peers().some(({ endpoint }) => endpoint.finder?.trusted !== undefined);
      if (connected || !this.#portChanges.take(this.#net.now)) return;
      this.host.port = 20_000 + (this.#net.random.uint32() % 40_000);
      this.#mapped.clear();
      this.publish();
      this.engine.portChanged(this.#net.now);
      this.restun();
      return;
    }
    if (event.kind !== "path-changed") return;
    if (event.path?.kind === "udp") this.#portChanges.reset();
    const path = event.path === undefined ? "none" : describePath(event.path);
    this.events.push(`${Math.round(this.#net.now)} ${path}`);
  }
}
