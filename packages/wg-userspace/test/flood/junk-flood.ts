/**
 * A live tunnel under 50,000 junk datagrams per second, in virtual time: counts work and memory, so the speed of this
 * machine does not matter. Prints {@link Measured} as JSON. Run by junk-flood.test.ts in a process of its own.
 */
import { createPacketCipher } from "../../src/aead/cipher.ts";
import { concatBytes, viewOf } from "../../src/base/bytes.ts";
import { addMs, type Instant, instant } from "../../src/base/instant.ts";
import { ip } from "../../src/base/ip.ts";
import { clampPrivateKey, discoPrivateKey, type NodePublicKey, nodePrivateKey } from "../../src/base/keys.ts";
import type { CryptoSuite, PacketCipher } from "../../src/base/ports.ts";
import { Engine } from "../../src/engine.ts";
import { nodeCryptoSuite } from "../../src/io/host/crypto-suite.ts";
import { type UdpPath, udpPath } from "../../src/magicsock/path.ts";
import { seededRandom } from "../../src/testing/wireguard-link.ts";

const WARM_UP_SECONDS = 0.5;
const SECONDS = 1;
const PER_MS = 50;
const PINGS_PER_SECOND = 20;
const INITIATION = 1;
const TRANSPORT = 4;
const REGION = 1;
const DISCO_MAGIC = new TextEncoder().encode("TS💬");

export interface Measured {
  readonly junk: number;
  readonly pings: number;
  readonly pongs: number;
  /** X25519 computations of the victim. */
  readonly agreements: number;
  /** MACs and hashes of the victim. */
  readonly hashes: number;
  /** Datagrams that the victim sent to hosts other than its peer. */
  readonly answers: number;
  readonly heapGrowthBytes: number;
  readonly bufferGrowthBytes: number;
  readonly drops: Readonly<Record<string, number>>;
}

const random = seededRandom(11);
let now: Instant = instant(1_000);

/** Counts expensive operations. */
function counting(): { suite: CryptoSuite; counts: { agreements: number; hashes: number } } {
  const counts = { agreements: 0, hashes: 0 };
  const suite: CryptoSuite = {
    ...nodeCryptoSuite,
    publicKey: (key) => {
      counts.agreements++;
      return nodeCryptoSuite.publicKey(key);
    },
    sharedSecret: (own, other) => {
      counts.agreements++;
      return nodeCryptoSuite.sharedSecret(own, other);
    },
    boxKey: (own, other) => {
      counts.agreements++;
      return nodeCryptoSuite.boxKey(own, other);
    },
    blake2s: (...parts) => {
      counts.hashes++;
      return nodeCryptoSuite.blake2s(...parts);
    },
    macBlake2s: (key, ...parts) => {
      counts.hashes++;
      return nodeCryptoSuite.macBlake2s(key, ...parts);
    },
  };
  return { suite, counts };
}

class Side {
  readonly cipher: PacketCipher = createPacketCipher();
  readonly engine: Engine;
  readonly path: UdpPath;
  other: Side | undefined;
  strayed = 0;
  readonly #inbox: Uint8Array[] = [];
  readonly #relayed: Uint8Array[] = [];
  /** The last datagrams sent, as an eavesdropper has them. */
  readonly captured: Uint8Array[] = [];

  constructor(address: string, port: number, crypto: CryptoSuite) {
    this.path = udpPath({ address: ip(`198.51.100.${port}`), port });
    this.engine = new Engine(
      {
        privateKey: nodePrivateKey(clampPrivateKey(random.bytes(32))),
        addresses: [ip(address)],
        disco: { privateKey: discoPrivateKey(clampPrivateKey(random.bytes(32))) },
      },
      { crypto, random, cipher: this.cipher, unixMs: (at) => 1_700_000_000_000 + at },
      {
        sendDatagram: (to, slot, length) => {
          const bytes = this.cipher.memory.bytes.slice(slot, slot + length);
          this.cipher.tx.release(slot);
          if (this.captured.length < 32) this.captured.push(bytes);
          this.#carry(to, bytes);
        },
        sendProbe: (to, packet) => this.#carry(to, packet.slice()),
        sendRelay: (_region, _peer, bytes, offset, length) => {
          if (this.other !== undefined) this.other.#relayed.push(bytes.slice(offset, offset + length));
        },
        congested: () => false,
        relayCongested: () => false,
        event: () => undefined,
      },
      now,
    );
  }

  #carry(to: UdpPath, bytes: Uint8Array): void {
    if (this.other !== undefined && to.address.port === this.other.path.address.port) this.other.#inbox.push(bytes);
    else this.strayed++;
  }

  turn(): void {
    for (const bytes of this.#inbox.splice(0)) this.engine.handleDatagram(this.other!.path, bytes, now);
    for (const bytes of this.#relayed.splice(0)) {
      this.engine.handleRelayPacket(REGION, this.other!.engine.publicKey, bytes, 0, bytes.length, now);
    }
    const due = this.engine.nextTimeout();
    if (due !== undefined && due <= now) this.engine.handleTimeout(now);
    this.engine.flush(now);
  }
}

const { suite, counts } = counting();
const victim = new Side("fd7a::1", 1, suite);
const peer = new Side("fd7a::2", 2, nodeCryptoSuite);
/** Knows the victim's public key, which is not secret. */
const stranger = new Side("fd7a::3", 3, nodeCryptoSuite);
[victim.other, peer.other] = [peer, victim];
const know = (one: Side, other: NodePublicKey, address: string, at: Side): void =>
  one.engine.setPeer(
    {
      publicKey: other,
      allowedIPs: [{ address: ip(address), bits: 128 }],
      udpEndpoints: [at.path.address],
      homeRegion: one === stranger ? undefined : REGION,
      discoKey: one === stranger ? undefined : at.engine.discoKey!,
    },
    now,
  );
know(victim, peer.engine.publicKey, "fd7a::2", peer);
know(peer, victim.engine.publicKey, "fd7a::1", victim);
know(stranger, victim.engine.publicKey, "fd7a::1", victim);

function pass(ms: number): void {
  for (let step = 0; step < ms; step++) {
    now = addMs(now, 1);
    for (let round = 0; round < 3; round++) for (const side of [victim, peer]) side.turn();
  }
}

let pongs = 0;
let pings = 0;
function ping(): void {
  pings++;
  peer.engine.netstack.ping("icmp", ip("fd7a::1"), () => pongs++, now);
}

for (let times = 0; times < 10; times++) {
  ping();
  pass(500);
}
if (pongs !== pings || victim.engine.peers()[0]?.path?.kind !== "udp") throw new Error("the tunnel is not up");
stranger.engine.startHandshake(victim.engine.publicKey, now);
stranger.turn();
const initiation = stranger.captured[0];
if (initiation === undefined) throw new Error("the stranger sends no initiation");
const replays = [...victim.captured, ...peer.captured];
if (replays.length < 10) throw new Error("too little was captured");
const discoKeys = Array.from({ length: 64 }, () => random.bytes(32));

/** One of the kinds of junk, each from another address. */
const KINDS: readonly (() => Uint8Array)[] = [
  () => random.bytes(1 + (random.uint32() % 300)),
  () => typed(INITIATION, 148), // a wrong mac1
  () => typed(2, 92),
  () => typed(3, 64),
  () => typed(TRANSPORT, 32 + 16 * (random.uint32() % 20)), // an unused index
  () => pick(replays), // captured: replays of everything
  () => flipped(pick(replays)),
  () => initiation, // a right mac1, of an unknown sender
  () => concatBytes(DISCO_MAGIC, pick(discoKeys), random.bytes(24 + 62)), // disco of unknown keys
  () => concatBytes(DISCO_MAGIC, peer.engine.discoKey!, random.bytes(24 + 62)), // disco in the peer's name
];

function typed(type: number, length: number): Uint8Array {
  const bytes = random.bytes(length);
  viewOf(bytes).setUint32(0, type, true);
  return bytes;
}
function pick<T>(list: readonly T[]): T {
  return list[random.uint32() % list.length]!;
}
function flipped(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  copy[random.uint32() % copy.length]! ^= 1 << (random.uint32() % 8);
  return copy;
}

let junk = 0;
function flood(seconds: number): void {
  for (let ms = 0; ms < seconds * 1_000; ms++) {
    for (let count = 0; count < PER_MS; count++, junk++) {
      const from = udpPath({
        address: random.bytes(4) as ReturnType<typeof ip>,
        port: 10_000 + (random.uint32() & 0x3fff),
      });
      victim.engine.handleDatagram(from, KINDS[junk % KINDS.length]!(), now);
    }
    if (ms % (1_000 / PINGS_PER_SECOND) === 0) ping();
    pass(1);
  }
}

function memory(): { heap: number; buffers: number } {
  globalThis.gc!();
  globalThis.gc!();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return { heap: heapUsed, buffers: arrayBuffers };
}

flood(WARM_UP_SECONDS); // until tables are full and the compiler is done
pass(200);
const before = memory();
[junk, pings, pongs, victim.strayed, counts.agreements, counts.hashes] = [0, 0, 0, 0, 0, 0];
flood(SECONDS);
pass(200);
const after = memory();
const measured: Measured = {
  junk,
  pings,
  pongs,
  agreements: counts.agreements,
  hashes: counts.hashes,
  answers: victim.strayed,
  heapGrowthBytes: after.heap - before.heap,
  bufferGrowthBytes: after.buffers - before.buffers,
  drops: victim.engine.dropCounts(),
};
process.stdout.write(JSON.stringify(measured));
