import { describe, expect, it } from "vitest";
import { Drops } from "../base/errors.ts";
import { addMs, type Instant, instant } from "../base/instant.ts";
import { formatAddrPort, parseAddrPort } from "../base/ip.ts";
import {
  clampPrivateKey,
  type DiscoPublicKey,
  discoPrivateKey,
  type NodePublicKey,
  nodePublicKey,
} from "../base/keys.ts";
import { sealDisco } from "../disco/box.ts";
import { encodeCallMeMaybe, encodePing, encodePong } from "../disco/message.ts";
import { nodeCryptoSuite } from "../io/crypto-suite.ts";
import { LinkRandom } from "../testing/link.ts";
import { Discovery, type PongResult } from "./discovery.ts";
import { Endpoint } from "./endpoint.ts";
import { relayPath, type UdpPath, udpPath } from "./path.ts";
import { MAX_CANDIDATES } from "./path-finder.ts";
import { PROBE_BURST, PROBES_PER_SECOND } from "./probe-budget.ts";

const crypto = nodeCryptoSuite;
const random = new LinkRandom(5);
const at = (text: string): UdpPath => udpPath(parseAddrPort(text)!);
const REGION = 1;

/** Somebody with keys who can write disco packets. */
class Peer {
  readonly private = clampPrivateKey(random.bytes(32));
  readonly disco = crypto.publicKey(this.private) as DiscoPublicKey;
  readonly node = nodePublicKey(crypto.publicKey(clampPrivateKey(random.bytes(32)))) as NodePublicKey;

  seal(to: DiscoPublicKey, plaintext: Uint8Array): Uint8Array {
    return sealDisco(crypto, this.disco, crypto.boxKey(this.private, to)!, random.bytes(24), plaintext);
  }
}

/** One Discovery whose output is recorded, with one peer at one candidate address. */
class Bench {
  now: Instant = instant(1_000);
  readonly drops = new Drops();
  readonly probes: {
    readonly to: string;
    readonly ttl: number | undefined;
    readonly bytes: number;
    readonly at: Instant;
  }[] = [];
  readonly relayed: Uint8Array[] = [];
  readonly peer = new Peer();
  readonly endpoint = new Endpoint(this.peer.node);
  readonly discovery: Discovery;
  opens = 0;

  constructor(options: { blockDirect?: boolean; candidates?: readonly string[] } = {}) {
    const counting = {
      ...crypto,
      openBox: (...args: Parameters<typeof crypto.openBox>) => {
        this.opens++;
        return crypto.openBox(...args);
      },
    };
    this.discovery = new Discovery(
      {
        privateKey: discoPrivateKey(clampPrivateKey(random.bytes(32))),
        nodeKey: new Peer().node,
        blockDirect: options.blockDirect ?? false,
        maxMtu: 1280,
        crypto: counting,
        random,
      },
      {
        sendProbe: (to, packet, ttl) =>
          this.probes.push({ to: formatAddrPort(to.address), ttl, bytes: packet.length, at: this.now }),
        sendByRelay: (_endpoint, packet) => this.relayed.push(packet) > 0,
        suspected: () => undefined,
        stuck: () => undefined,
        pathChanged: (endpoint) => endpoint.choose(),
      },
      this.drops,
      this.now,
    );
    this.endpoint.setHomeRegion(REGION);
    const candidates = (options.candidates ?? ["192.168.1.2:7000"]).map((text) => parseAddrPort(text)!);
    this.discovery.setPeer(this.endpoint, this.peer.disco, candidates, this.now);
    this.discovery.setOwnEndpoints([parseAddrPort("192.168.1.1:6000")!], [], this.now);
  }

  get path(): string {
    const { current } = this.endpoint;
    return current === undefined ? "none" : current.kind === "udp" ? formatAddrPort(current.address) : "relay";
  }

  byUdp(from: string, packet: Uint8Array): void {
    this.discovery.handleDatagram(at(from), packet, this.now);
  }
  byRelay(packet: Uint8Array): void {
    this.discovery.handleRelayPacket(this.endpoint, relayPath(REGION, this.peer.node), REGION, packet, this.now);
  }
  /** Keeps the session active and lets time pass. */
  pass(ms: number, stepMs = 50): void {
    const end = addMs(this.now, ms);
    while (this.now < end) {
      this.endpoint.noteSent(true, this.now);
      this.discovery.handleTimeout(this.now);
      this.now = addMs(this.now, stepMs);
    }
  }
  /** Answers the next probe to the candidate as the peer would. */
  answerPing(from: string, txId: Uint8Array): void {
    this.byUdp(from, this.peer.seal(this.discovery.publicKey, encodePong(txId, parseAddrPort("192.168.1.1:6000")!)));
  }
}

/** The transaction id of our last ping, which only its receiver can read: caught through the random source. */
function spyOnTxIds(): Uint8Array[] {
  const seen: Uint8Array[] = [];
  const original = random.bytes.bind(random);
  random.bytes = (length) => {
    const bytes = original(length);
    if (length === 12) seen.push(bytes);
    return bytes;
  };
  return seen;
}
const txIds = spyOnTxIds();

describe("security 28: only an authenticated answer moves a path", () => {
  it("a pong of the peer to our ping does", () => {
    const bench = new Bench();
    bench.pass(50);
    bench.answerPing("192.168.1.2:7000", txIds.at(-2)!); // the last one went by relay
    for (const id of txIds.slice(-4)) bench.answerPing("192.168.1.2:7000", id);
    expect(bench.path).toBe("192.168.1.2:7000");
  });

  it("nothing else does", () => {
    const bench = new Bench();
    bench.pass(50);
    const ours = bench.discovery.publicKey;
    const stranger = new Peer();
    const source = parseAddrPort("192.168.1.1:6000")!;
    const good = txIds.slice(-4);
    for (const id of good) {
      bench.byUdp("192.168.1.2:7000", stranger.seal(ours, encodePong(id, source))); // a key nobody knows
      const tampered = bench.peer.seal(ours, encodePong(id, source));
      tampered[100]! ^= 1;
      bench.byUdp("192.168.1.2:7000", tampered);
      // The stranger's box under the peer's name.
      const forged = stranger.seal(ours, encodePong(id, source));
      forged.set(bench.peer.disco, 6);
      bench.byUdp("192.168.1.2:7000", forged);
      // A pong that came by relay to a ping that went by UDP.
    }
    bench.byUdp("192.168.1.2:7000", bench.peer.seal(ours, encodePong(random.bytes(12), source))); // never asked
    bench.byUdp("192.168.1.2:7000", bench.peer.seal(ours, encodePing(random.bytes(12), bench.peer.node)));
    expect(bench.path).toBe("relay");
  });

  it("another peer cannot answer for the peer that was asked", () => {
    const bench = new Bench();
    const other = new Peer();
    const otherEndpoint = new Endpoint(other.node);
    bench.discovery.setPeer(otherEndpoint, other.disco, [], bench.now);
    bench.pass(50);
    for (const id of txIds.slice(-6))
      bench.byUdp(
        "192.168.1.2:7000",
        other.seal(bench.discovery.publicKey, encodePong(id, parseAddrPort("1.2.3.4:5")!)),
      );
    expect(bench.path).toBe("relay");
  });

  it("a CallMeMaybe counts only when the peer's own relay connection brought it", () => {
    const bench = new Bench({ candidates: [] });
    const call = bench.peer.seal(bench.discovery.publicKey, encodeCallMeMaybe([parseAddrPort("192.168.7.7:7")!]));
    bench.byUdp("192.168.1.2:7000", call);
    const stranger = new Endpoint(new Peer().node);
    bench.discovery.handleRelayPacket(stranger, relayPath(REGION, stranger.peer), REGION, call, bench.now);
    expect(bench.probes).toEqual([]);
    bench.byRelay(call);
    expect(bench.probes.map(({ to }) => to)).toEqual(["192.168.7.7:7"]);
  });
});

describe("security 23: probes cannot be aimed at a third party", () => {
  it(`a peer has at most ${MAX_CANDIDATES} candidates`, () => {
    const bench = new Bench({ candidates: Array.from({ length: 100 }, (_, i) => `192.168.1.2:${i + 1}`) });
    expect(bench.endpoint.finder!.candidates).toHaveLength(MAX_CANDIDATES);
    const call = encodeCallMeMaybe(Array.from({ length: 64 }, (_, i) => parseAddrPort(`10.0.0.1:${i + 1}`)!));
    bench.byRelay(bench.peer.seal(bench.discovery.publicKey, call));
    for (let i = 0; i < 100; i++)
      bench.byUdp(
        `10.9.9.9:${i + 1}`,
        bench.peer.seal(bench.discovery.publicKey, encodePing(random.bytes(12), bench.peer.node)),
      );
    expect(bench.endpoint.finder!.candidates).toHaveLength(MAX_CANDIDATES);
  });

  it("one address gets a bounded number of probes, however often a peer asks", () => {
    const bench = new Bench({ candidates: [] });
    const seconds = 20;
    for (let i = 0; i < seconds * 10; i++) {
      const ports = Array.from({ length: 32 }, (_, n) => parseAddrPort(`203.0.113.5:${1 + ((i * 32 + n) % 60_000)}`)!);
      bench.byRelay(bench.peer.seal(bench.discovery.publicKey, encodeCallMeMaybe(ports)));
      bench.pass(100);
    }
    const toVictim = bench.probes.filter(({ to }) => to.startsWith("203.0.113.5:"));
    expect(toVictim.length).toBeGreaterThan(PROBE_BURST / 2);
    expect(toVictim.length).toBeLessThanOrEqual(PROBE_BURST + PROBES_PER_SECOND * (seconds + 1));
  });

  it("addresses that cannot be a peer's are never probed", () => {
    const candidates = ["224.0.0.1:5", "0.0.0.0:5", "255.255.255.255:5", "[ff02::1]:5", "[fe80::1]:5", "10.0.0.1:0"];
    const tunnel = ["[fd7a:115c:a1e0::1]:5", "[fd60:627a:a42b::1]:5"];
    const metadata = ["169.254.169.254:80", "[::ffff:169.254.169.254]:80", "[fd00:ec2::254]:80"];
    const bench = new Bench({ candidates: [...candidates, ...tunnel, ...metadata] });
    bench.pass(5_000);
    expect(bench.probes).toEqual([]);
  });
});

describe("a flood of packets that do not open", () => {
  it("costs a bounded number of box openings, and none for a path in use", () => {
    const bench = new Bench();
    const junk = bench.peer.seal(bench.discovery.publicKey, encodePing(random.bytes(12), bench.peer.node));
    junk[200]! ^= 1;
    bench.opens = 0;
    for (let i = 0; i < 5_000; i++) bench.byUdp(`198.51.100.7:${1 + i}`, junk);
    expect(bench.opens).toBeLessThanOrEqual(500);
    expect(bench.drops.counts["rate-limited"]).toBe(5_000 - bench.opens);
  });

  it("unknown senders cost none", () => {
    const bench = new Bench();
    bench.opens = 0;
    for (let i = 0; i < 100; i++) {
      const stranger = new Peer();
      bench.byUdp(
        "198.51.100.7:9",
        stranger.seal(bench.discovery.publicKey, encodePing(random.bytes(12), stranger.node)),
      );
    }
    expect(bench.opens).toBe(0);
    expect(bench.probes).toEqual([]);
  });
});

describe("with direct paths forbidden", () => {
  it("nothing is probed, answered by UDP, or published; relay pings still work", () => {
    const bench = new Bench({ blockDirect: true });
    bench.byUdp(
      "192.168.1.2:7000",
      bench.peer.seal(bench.discovery.publicKey, encodePing(random.bytes(12), bench.peer.node)),
    );
    bench.byRelay(bench.peer.seal(bench.discovery.publicKey, encodeCallMeMaybe([parseAddrPort("192.168.1.2:7000")!])));
    bench.pass(3_000);
    expect(bench.probes).toEqual([]);
    expect(bench.discovery.ownEndpoints).toEqual([]);
    const results: PongResult[] = [];
    expect(bench.discovery.ping(bench.endpoint, (result) => results.push(result), bench.now)).toBe(true);
    bench.now = addMs(bench.now, 12);
    bench.byRelay(
      bench.peer.seal(bench.discovery.publicKey, encodePong(txIds.at(-1)!, parseAddrPort("127.3.3.40:1")!)),
    );
    expect(results).toMatchObject([{ rttMs: 12, path: { kind: "relay", regionId: REGION } }]);
  });
});

it("pings are answered to where they came from, padded, with that address inside", () => {
  const bench = new Bench();
  bench.byUdp(
    "198.51.100.9:4444",
    bench.peer.seal(bench.discovery.publicKey, encodePing(random.bytes(12), bench.peer.node)),
  );
  expect(bench.probes[0]).toMatchObject({ to: "198.51.100.9:4444", ttl: undefined, bytes: 1310 });
});

it("public candidates are opened by a packet that dies on the way before anything else reaches them", () => {
  const bench = new Bench({ candidates: ["203.0.113.9:9", "192.168.3.3:3"] });
  bench.pass(60);
  const first = (host: string) => bench.probes.find(({ to }) => to.startsWith(host))!;
  expect(first("203.0.113.9")).toMatchObject({ ttl: 2 });
  expect(first("192.168.3.3")).toMatchObject({ ttl: undefined, bytes: 1310 });
  expect(bench.relayed.length).toBeGreaterThan(0); // CallMeMaybe right behind it
});

it("a new disco key is another process: what was known is forgotten", () => {
  const bench = new Bench();
  bench.pass(50);
  for (const id of txIds.slice(-4)) bench.answerPing("192.168.1.2:7000", id);
  expect(bench.path).toBe("192.168.1.2:7000");
  bench.discovery.setPeer(bench.endpoint, new Peer().disco, [], bench.now);
  expect(bench.path).toBe("relay");
});

it.each([0, 100])(
  "small packets are tried from the third attempt on (the peer pings every %i ms, 0: never)",
  (every) => {
    const bench = new Bench();
    for (const end = addMs(bench.now, 3_000); bench.now < end; bench.pass(every || 100))
      if (every > 0)
        bench.byUdp(
          "192.168.1.2:7000",
          bench.peer.seal(bench.discovery.publicKey, encodePing(random.bytes(12), bench.peer.node)),
        );
    // The answers to the peer's pings are padded.
    const small = bench.probes.filter(
      ({ to, ttl, bytes }) => to === "192.168.1.2:7000" && ttl === undefined && bytes < 1310,
    );
    expect(small.length).toBeGreaterThan(0);
    expect(small[0]!.at).toBeGreaterThan(1_900);
  },
);
