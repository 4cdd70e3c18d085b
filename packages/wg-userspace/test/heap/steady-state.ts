/**
 * The garbage that one packet of a running stream leaves on the heap: two whole engines in one process, joined by nothing but function
 * calls, carry a bulk stream. Prints `{ bytesPerPacket, collections, arrayBufferBytes }`. Run by
 * steady-state-test.ts in a process of its own, with a young generation so large that the collector has no reason to run.
 */
import { GCProfiler } from "node:v8";
import { createPacketCipher } from "../../src/aead/cipher.ts";
import { copyInto } from "../../src/base/bytes.ts";
import { type Instant, instant } from "../../src/base/instant.ts";
import { ip } from "../../src/base/ip.ts";
import { clampPrivateKey, nodePrivateKey } from "../../src/base/keys.ts";
import type { PacketCipher } from "../../src/base/ports.ts";
import { Engine } from "../../src/engine.ts";
import { nodeCryptoSuite } from "../../src/io/host/crypto-suite.ts";
import { type UdpPath, udpPath } from "../../src/magicsock/path.ts";
import { seededRandom } from "../../src/testing/wireguard-link.ts";

const REGION = 1;
const PORT = 7000;
const TURN_MS = 0.25;
const WARM_UP_TURNS = 3_000;
const MEASURED_PACKETS = 50_000;
/** The best window counts: unfinished compilation shows in one window, an allocation per packet in all. */
const WINDOWS = 3;
const TRANSPORT = 4;

const relayed = process.argv[2] === "relay";
const random = seededRandom(7);
let now: Instant = instant(1_000);
let packets = 0;

class Side {
  readonly cipher: PacketCipher = createPacketCipher();
  readonly privateKey = nodePrivateKey(clampPrivateKey(random.bytes(32)));
  readonly engine: Engine;
  readonly path: UdpPath;
  other!: Side;

  constructor(address: string, port: number) {
    this.path = udpPath({ address: ip("127.0.0.1"), port });
    this.engine = new Engine(
      { privateKey: this.privateKey, addresses: [ip(address)] },
      { crypto: nodeCryptoSuite, random, cipher: this.cipher, unixMs: (at) => 1_700_000_000_000 + at },
      {
        sendDatagram: (_to, slot, length) => this.#send(slot, length),
        sendRelay: (_region, _peer, bytes, offset, length) => {
          packets++;
          this.other.engine.handleRelayPacket(REGION, this.engine.publicKey, bytes, offset, length, now);
        },
        sendProbe: () => undefined,
        congested: () => false,
        relayCongested: () => false,
        event: () => undefined,
      },
      now,
    );
  }

  /** Like a carrier that receives into slots. */
  #send(slot: number, length: number): void {
    packets++;
    const { bytes } = this.cipher.memory;
    const { cipher, engine } = this.other;
    if (bytes[slot] === TRANSPORT) {
      const target = cipher.rx.lease();
      if (target < 0) throw new Error("the other side has no slot left");
      copyInto(bytes, slot, length, cipher.memory.bytes, target);
      engine.handleTransportSlot(this.path, target, length, now);
    } else engine.handleDatagram(this.path, bytes.slice(slot, slot + length), now);
    this.cipher.tx.release(slot);
  }

  turn(): void {
    const due = this.engine.nextTimeout();
    if (due !== undefined && due <= now) this.engine.handleTimeout(now);
    this.engine.flush(now);
  }
}

const near = new Side("fd7a::1", 1);
const far = new Side("fd7a::2", 2);
near.other = far;
far.other = near;
for (const [side, peer, address] of [
  [near, far, "fd7a::2"],
  [far, near, "fd7a::1"],
] as const) {
  side.engine.setPeer(
    {
      publicKey: peer.engine.publicKey,
      allowedIPs: [{ address: ip(address), bits: 128 }],
      ...(relayed ? { homeRegion: REGION } : { udpEndpoints: [peer.path.address] }),
    },
    now,
  );
}

let received = 0;
far.engine.netstack.listenTcp(
  { port: PORT },
  {
    onRequest: (request) => {
      const connection = request.accept({}, now)!;
      connection.handler = {
        onReadable: () => {
          for (let chunk = connection.read(); chunk !== undefined; chunk = connection.read()) {
            received += chunk.length;
            connection.giveBack(chunk);
          }
        },
      };
    },
  },
);
const sender = near.engine.netstack.connectTcp({ address: ip("fd7a::2"), port: PORT }, {}, now);
const CHUNK = new Uint8Array(32 * 1024).fill(0x5a);

function turn(): void {
  while (sender.writableLength >= CHUNK.length) sender.write(CHUNK);
  near.turn();
  far.turn();
  now = instant(now + TURN_MS);
}

for (let i = 0; i < WARM_UP_TURNS; i++) turn();
if (sender.state !== "ESTABLISHED" || received === 0) throw new Error(`nothing flows: ${sender.state}`);
let best = Number.POSITIVE_INFINITY;
let collections = 0;
let arrayBufferBytes = 0;
for (let i = 0; i < WINDOWS; i++) {
  globalThis.gc!();
  const profiler = new GCProfiler();
  profiler.start();
  const before = process.memoryUsage();
  const packetsBefore = packets;
  while (packets - packetsBefore < MEASURED_PACKETS) turn();
  const after = process.memoryUsage();
  best = Math.min(best, (after.heapUsed - before.heapUsed) / (packets - packetsBefore));
  collections += profiler.stop()!.statistics.length;
  arrayBufferBytes = Math.max(arrayBufferBytes, after.arrayBuffers - before.arrayBuffers);
}
process.stdout.write(`${JSON.stringify({ bytesPerPacket: best, collections, arrayBufferBytes })}\n`);
