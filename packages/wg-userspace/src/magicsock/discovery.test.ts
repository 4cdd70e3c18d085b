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
import { openDisco, sealDisco } from "../disco/box.ts";
import { type DiscoMessage, encodeCallMeMaybe, encodePing, encodePong, parseDiscoMessage } from "../disco/message.ts";
import { nodeCryptoSuite } from "../io/host/crypto-suite.ts";
import { LinkRandom } from "../testing/link.ts";
import { MAX_CANDIDATES } from "./candidate-list.ts";
import { Discovery, type PongResult } from "./discovery.ts";
import { Endpoint } from "./endpoint.ts";
import { PathTable, relayPath, type UdpPath } from "./path.ts";
import { PROBE_BURST, PROBES_PER_SECOND } from "./probe-budget.ts";

const crypto = nodeCryptoSuite;
const random = new LinkRandom(5);
const REGION = 1;

/** A party with keys that can write disco packets. */
class Peer {
  readonly private = clampPrivateKey(random.bytes(32));
  readonly disco = crypto.publicKey(this.private) as DiscoPublicKey;
  readonly node = nodePublicKey(crypto.publicKey(clampPrivateKey(random.bytes(32)))) as NodePublicKey;

  seal(to: DiscoPublicKey, plaintext: Uint8Array): Uint8Array {
    return sealDisco(crypto, this.disco, crypto.boxKey(this.private, to)!, random.bytes(24), plaintext);
  }
  open(from: DiscoPublicKey, packet: Uint8Array): DiscoMessage {
    return parseDiscoMessage(openDisco(crypto, crypto.boxKey(this.private, from)!, packet)!)!;
  }
}

/** One Discovery whose output is recorded, with one peer at one candidate address. */
class Bench {
  readonly #paths = new PathTable();
  now: Instant = instant(1_000);
  readonly drops = new Drops();
  readonly probes: {
    readonly to: string;
    readonly ttl: number | undefined;
    readonly bytes: number;
    readonly at: Instant;
  }[] = [];
  readonly relayed: Uint8Array[] = [];
  readonly stuck: Endpoint[] = [];
  readonly suspected: Endpoint[] = [];
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
        suspected: (endpoint) => void this.suspected.push(endpoint),
        stuck: (endpoint) => void this.stuck.push(endpoint),
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

  /** The path of what arrives from there: always the same object, as the engine has it. */
  from(text: string): UdpPath {
    const address = parseAddrPort(text)!;
    return this.#paths.udp(text, address.port, () => address.address)!;
  }
  byUdp(from: string, packet: Uint8Array): void {
    this.discovery.handleDatagram(this.from(from), packet, this.now);
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
  /** Messages sent by relay, as the peer reads them. */
  get messages(): DiscoMessage[] {
    return this.relayed.map((packet) => this.peer.open(this.discovery.publicKey, packet));
  }
  get calls(): string[][] {
    return this.messages.flatMap((message) =>
      message.kind === "call-me-maybe" ? [message.endpoints.map(formatAddrPort)] : [],
    );
  }
  /** Has the peer answer all pings so far that went by UDP. */
  connect(): this {
    this.pass(50);
    for (const id of txIds.slice(-4)) this.answerPing("192.168.1.2:7000", id);
    expect(this.path).toBe("192.168.1.2:7000");
    return this;
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
      bench.byUdp("192.168.1.2:7000", stranger.seal(ours, encodePong(id, source))); // an unknown key
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

it("public candidates are opened by a packet that dies on the way before any other probe reaches them", () => {
  const bench = new Bench({ candidates: ["203.0.113.9:9", "192.168.3.3:3"] });
  bench.pass(60);
  const first = (host: string) => bench.probes.find(({ to }) => to.startsWith(host))!;
  expect(first("203.0.113.9")).toMatchObject({ ttl: 2 });
  expect(first("192.168.3.3")).toMatchObject({ ttl: undefined, bytes: 1310 });
  expect(bench.relayed.length).toBeGreaterThan(0); // CallMeMaybe right behind it
});

it("a new disco key means a new process: earlier knowledge is discarded", () => {
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

describe("own endpoints", () => {
  const addresses = (count: number, first = 1) =>
    Array.from({ length: count }, (_, i) => parseAddrPort(`10.1.1.1:${first + i}`)!);
  const names = (count: number, first = 1) => addresses(count, first).map(formatAddrPort);

  it("are sent as soon as they change to a peer that is searched for, at most thirty-two", () => {
    const bench = new Bench();
    bench.discovery.setOwnEndpoints(addresses(3), [], bench.now);
    expect(bench.calls).toEqual([]); // no peer is searched for
    bench.pass(50);
    bench.relayed.length = 0;
    bench.discovery.setOwnEndpoints(addresses(40), [], bench.now);
    expect(bench.calls).toEqual([names(32)]);
    expect(bench.discovery.ownEndpoints).toHaveLength(32);
    bench.discovery.relayReady(bench.now);
    expect(bench.calls).toHaveLength(2);
    bench.discovery.setOwnEndpoints([], [], bench.now);
    expect(bench.calls).toHaveLength(2); // nothing to name
  });

  it("are not sent to a peer with a path", () => {
    const bench = new Bench().connect();
    bench.relayed.length = 0;
    bench.discovery.relayReady(bench.now);
    expect(bench.calls).toEqual([]);
  });

  it("guesses follow them, twenty at a time in turn, and displace the last own ones", () => {
    const bench = new Bench();
    bench.pass(50);
    bench.relayed.length = 0;
    bench.discovery.setOwnEndpoints(addresses(20), addresses(50, 101), bench.now);
    for (let i = 0; i < 3; i++) bench.discovery.relayReady(bench.now);
    expect(bench.calls).toEqual([
      [...names(12), ...names(20, 101)],
      [...names(12), ...names(20, 121)],
      [...names(20), ...names(10, 141)],
      [...names(12), ...names(20, 101)],
    ]);
    bench.discovery.relayReady(bench.now);
    bench.discovery.setOwnEndpoints(addresses(2), addresses(20, 101), bench.now); // from the first again
    bench.discovery.relayReady(bench.now);
    expect(bench.calls.slice(-2)).toEqual(new Array(2).fill([...names(2), ...names(20, 101)]));
  });
});

describe("pings for the user", () => {
  it("go by relay and to all candidates while there is no path; the first answer is reported", () => {
    const bench = new Bench({ candidates: ["192.168.1.2:7000", "192.168.1.3:7000"] });
    const results: PongResult[] = [];
    expect(bench.discovery.ping(bench.endpoint, (result) => results.push(result), bench.now)).toBe(true);
    expect(bench.probes.map(({ to, bytes }) => [to, bytes])).toEqual([
      ["192.168.1.2:7000", 1310],
      ["192.168.1.3:7000", 1310],
    ]);
    expect(bench.relayed).toHaveLength(1);
    const ids = txIds.slice(-3);
    bench.now = addMs(bench.now, 7);
    bench.answerPing("192.168.1.3:7000", ids[1]!);
    bench.answerPing("192.168.1.2:7000", ids[0]!);
    expect(results).toMatchObject([{ rttMs: 7, path: { address: { port: 7000 } } }]);
    expect(bench.endpoint.finder!.candidates.map(({ pingsSent, outcomes }) => [pingsSent, outcomes])).toEqual([
      [1, 0],
      [1, 0],
    ]);
  });

  it("use the path in use alone, and count for its loss", () => {
    const bench = new Bench({ candidates: ["192.168.1.2:7000", "192.168.1.3:7000"] }).connect();
    const { best } = bench.endpoint.finder!;
    bench.probes.length = 0;
    bench.discovery.ping(bench.endpoint, () => undefined, bench.now);
    expect(bench.probes.map(({ to }) => to)).toEqual(["192.168.1.2:7000"]);
    bench.answerPing("192.168.1.2:7000", txIds.at(-2)!);
    expect([best!.outcomes, best!.loss]).toEqual([1, 0]);
    const direct: PongResult[] = [];
    expect(bench.discovery.pingDirect(bench.endpoint, (result) => direct.push(result), bench.now)).toBe(best);
    bench.answerPing("192.168.1.2:7000", txIds.at(-1)!);
    expect([direct.length, best!.outcomes]).toEqual([1, 2]);
  });

  it("measure a path that is no longer in use where the peer answered last", () => {
    const bench = new Bench().connect();
    const candidate = bench.endpoint.finder!.best!;
    bench.discovery.portChanged(bench.now);
    expect(bench.path).toBe("relay");
    expect(bench.discovery.pingDirect(bench.endpoint, () => undefined, bench.now)).toBe(candidate);
    bench.answerPing("192.168.1.2:7000", txIds.at(-1)!);
    expect(candidate.outcomes).toBe(0);
  });

  it("need a peer with a disco key, and a candidate that answered for a direct one", () => {
    const bench = new Bench();
    expect(bench.discovery.pingDirect(bench.endpoint, () => undefined, bench.now)).toBeUndefined();
    bench.discovery.removePeer(bench.endpoint);
    expect(bench.discovery.ping(bench.endpoint, () => undefined, bench.now)).toBe(false);
    expect(bench.discovery.pingByRelay(bench.endpoint, undefined, bench.now)).toBe(false);
    expect(bench.discovery.pingDirect(bench.endpoint, () => undefined, bench.now)).toBeUndefined();
  });

  it("by relay give the round trip of the relay, from a pong that came by relay", () => {
    const bench = new Bench();
    bench.discovery.pingByRelay(bench.endpoint, undefined, bench.now);
    bench.now = addMs(bench.now, 9);
    bench.answerPing("192.168.1.2:7000", txIds.at(-1)!);
    expect(bench.endpoint.relayRttMs).toBeUndefined();
    bench.discovery.pingByRelay(bench.endpoint, undefined, bench.now);
    bench.now = addMs(bench.now, 9);
    bench.byRelay(bench.peer.seal(bench.discovery.publicKey, encodePong(txIds.at(-1)!, parseAddrPort("1.1.1.1:1")!)));
    expect([bench.endpoint.relayRttMs, bench.endpoint.finder!.quality.relayRttMs]).toEqual([9, 9]);
  });
});

describe("pings in flight", () => {
  it("expire after 5 s; a sample that was lost counts", () => {
    const bench = new Bench().connect();
    const { best } = bench.endpoint.finder!;
    bench.discovery.ping(bench.endpoint, () => undefined, bench.now);
    bench.discovery.removePeer(new Endpoint(bench.peer.node)); // unrelated
    const pending = bench.discovery.pendingPings;
    bench.discovery.handleTimeout(addMs(bench.now, 4_999));
    expect(bench.discovery.pendingPings).toBeGreaterThanOrEqual(pending);
    // Without confirmation pings of the finder: nothing was sent for a minute.
    const quiet = new Bench();
    quiet.discovery.pingByRelay(quiet.endpoint, undefined, quiet.now);
    expect([quiet.discovery.pendingPings, quiet.discovery.nextTimeout()]).toEqual([1, quiet.now + 5_000]);
    quiet.discovery.handleTimeout(addMs(quiet.now, 4_999));
    expect(quiet.discovery.pendingPings).toBe(1);
    quiet.discovery.handleTimeout(addMs(quiet.now, 5_000));
    expect([quiet.discovery.pendingPings, quiet.discovery.nextTimeout()]).toEqual([0, undefined]);
    expect(best!.outcomes).toBe(0);
  });

  it("a lost one counts for the current path", () => {
    const bench = new Bench().connect();
    const { best } = bench.endpoint.finder!;
    bench.discovery.pingDirect(bench.endpoint, () => undefined, bench.now);
    bench.now = addMs(bench.now, 5_000);
    bench.discovery.handleTimeout(bench.now);
    expect([best!.outcomes, best!.loss]).toEqual([1, 1]);
  });

  it("are at most 4096: the oldest is forgotten, and its pong is ignored", () => {
    const bench = new Bench();
    const results: number[] = [];
    bench.discovery.pingByRelay(bench.endpoint, () => results.push(0), bench.now);
    const first = txIds.at(-1)!;
    bench.discovery.pingByRelay(bench.endpoint, () => results.push(1), bench.now);
    const second = txIds.at(-1)!;
    for (let i = 0; i < 4_095; i++) bench.discovery.pingByRelay(bench.endpoint, undefined, bench.now);
    expect(bench.discovery.pendingPings).toBe(4_096);
    const source = parseAddrPort("1.1.1.1:1")!;
    for (const id of [first, second, second])
      bench.byRelay(bench.peer.seal(bench.discovery.publicKey, encodePong(id, source)));
    expect([results, bench.drops.counts["out-of-window"]]).toEqual([[1], 2]);
  });

  it("end with their peer", () => {
    const bench = new Bench();
    const other = new Endpoint(new Peer().node);
    bench.discovery.setPeer(other, new Peer().disco, [], bench.now);
    bench.discovery.pingByRelay(bench.endpoint, undefined, bench.now);
    bench.discovery.pingByRelay(other, undefined, bench.now);
    bench.discovery.removePeer(bench.endpoint);
    expect([bench.discovery.pendingPings, bench.endpoint.finder, bench.endpoint.discoId]).toEqual([
      1,
      undefined,
      undefined,
    ]);
    bench.byUdp("1.1.1.1:1", bench.peer.seal(bench.discovery.publicKey, encodePing(random.bytes(12), bench.peer.node)));
    expect(bench.drops.counts).toEqual({ "unknown-peer": 1 });
  });
});

describe("several nodes with one disco key", () => {
  it("a ping identifies the node that it names; without a name it identifies none", () => {
    const bench = new Bench({ candidates: [] });
    const twin = new Endpoint(new Peer().node);
    bench.discovery.setPeer(twin, bench.peer.disco, [], bench.now);
    const ping = (node: NodePublicKey | undefined, from: string) => {
      const message = encodePing(random.bytes(12), node ?? bench.peer.node);
      bench.byUdp(
        from,
        bench.peer.seal(bench.discovery.publicKey, node === undefined ? message.subarray(0, 14) : message),
      );
    };
    ping(twin.peer, "10.0.0.1:1");
    expect([bench.endpoint.finder!.candidates.length, twin.finder!.candidates.length]).toEqual([0, 1]);
    ping(undefined, "10.0.0.1:2");
    ping(new Peer().node, "10.0.0.1:3");
    expect(bench.drops.counts).toEqual({ "unknown-peer": 2 });
    bench.discovery.removePeer(twin);
    ping(undefined, "10.0.0.1:2"); // there is only one now
    expect(bench.endpoint.finder!.candidates).toHaveLength(1);
  });
});

describe("meaningless packets", () => {
  it("are counted by reason", () => {
    const bench = new Bench();
    const ours = bench.discovery.publicKey;
    bench.byRelay(bench.peer.seal(ours, Uint8Array.of(9, 0, 1, 2)));
    const tampered = bench.peer.seal(ours, encodePing(random.bytes(12), bench.peer.node));
    tampered[80]! ^= 1;
    bench.byRelay(tampered);
    bench.byRelay(bench.peer.seal(ours, encodePong(random.bytes(12), parseAddrPort("1.1.1.1:1")!)));
    bench.byRelay(new Peer().seal(ours, encodePing(random.bytes(12), bench.peer.node)));
    expect(bench.drops.counts).toEqual({ "unknown-type": 1, "bad-tag": 1, "out-of-window": 1, "unknown-peer": 1 });
  });

  it("of strangers cost 500 box openings per second, and no more after a pause", () => {
    const bench = new Bench();
    const junk = bench.peer.seal(bench.discovery.publicKey, encodePing(random.bytes(12), bench.peer.node));
    junk[200]! ^= 1;
    const opened = (count: number) => {
      bench.opens = 0;
      for (let i = 0; i < count; i++) bench.byUdp("198.51.100.7:1", junk);
      return bench.opens;
    };
    expect(opened(600)).toBe(500);
    bench.now = addMs(bench.now, 10);
    expect(opened(600)).toBe(5);
    bench.now = addMs(bench.now, 60_000);
    expect(opened(600)).toBe(500);
  });

  it("from the path in use are opened beyond that", () => {
    const bench = new Bench();
    bench.pass(50);
    const path = bench.from("192.168.1.2:7000");
    for (const id of txIds.slice(-4)) bench.answerPing("192.168.1.2:7000", id);
    const ping = () => bench.peer.seal(bench.discovery.publicKey, encodePing(random.bytes(12), bench.peer.node));
    for (let i = 0; i < 600; i++) bench.byUdp("198.51.100.7:1", ping());
    bench.opens = 0;
    bench.discovery.handleDatagram(path, ping(), bench.now);
    expect(bench.opens).toBe(1);
  });
});

it("messages on the path in use cast no doubt on it, even if the coordinator named its address", () => {
  const bench = new Bench().connect();
  bench.pass(2_000);
  for (const id of txIds.slice(-2)) bench.answerPing("192.168.1.2:7000", id);
  bench.now = addMs(bench.now, 500); // no ping may be sent again at once
  bench.probes.length = 0;
  expect(bench.endpoint.heard(bench.from("192.168.1.2:7000"), bench.now)).toBe(false);
  expect(bench.probes).toEqual([]);
  bench.endpoint.heard(bench.from("192.168.1.3:7000"), bench.now);
  expect(bench.probes.map(({ to }) => to)).toEqual(["192.168.1.2:7000"]);
});

it("a key whose shared secret would be zero is refused", () => {
  const bench = new Bench();
  const endpoint = new Endpoint(new Peer().node);
  expect(bench.discovery.setPeer(endpoint, new Uint8Array(32) as DiscoPublicKey, [], bench.now)).toBe(false);
  expect(endpoint.finder).toBeUndefined();
});

it("the same key again keeps what is known, and replaces the addresses", () => {
  const bench = new Bench().connect();
  const { finder } = bench.endpoint;
  expect(bench.discovery.setPeer(bench.endpoint, bench.peer.disco, [parseAddrPort("10.0.0.3:3")!], bench.now)).toBe(
    true,
  );
  expect(bench.endpoint.finder).toBe(finder);
  expect(finder!.candidates.map(({ path }) => formatAddrPort(path.address))).toEqual([
    "192.168.1.2:7000", // in use
    "10.0.0.3:3",
  ]);
});

it("a ping by relay is answered by relay, with the region where an address would be", () => {
  const bench = new Bench();
  const txId = random.bytes(12);
  bench.byRelay(bench.peer.seal(bench.discovery.publicKey, encodePing(txId, bench.peer.node)));
  const [pong] = bench.messages;
  expect(pong).toMatchObject({ kind: "pong", txId, source: parseAddrPort(`127.3.3.40:${REGION}`) });
  expect(bench.relayed[0]).toHaveLength(1310);
});

it("a path that falls silent is announced, and so is a failed search", () => {
  const bench = new Bench().connect();
  bench.pass(6_000);
  expect(bench.suspected).toEqual([bench.endpoint]);
  bench.pass(80_000);
  expect(bench.stuck).toContain(bench.endpoint);
});

it("a change of the network reaches every peer's finder", () => {
  const bench = new Bench().connect();
  bench.discovery.networkChanged(false, bench.now);
  expect(bench.path).toBe("192.168.1.2:7000");
  bench.discovery.networkChanged(true, bench.now);
  expect(bench.path).toBe("relay");
});
