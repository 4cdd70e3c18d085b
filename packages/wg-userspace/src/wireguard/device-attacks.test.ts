import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesEqual } from "../base/bytes.ts";
import { clampPrivateKey, nodePrivateKey } from "../base/keys.ts";
import type { CryptoSuite } from "../base/ports.ts";
import { nodeCryptoSuite as crypto } from "../io/host/crypto-suite.ts";
import {
  ipv6Packet,
  joinedPair,
  prefixesOf,
  type SentMessage,
  seededRandom,
  type WireguardHost,
  WireguardLink,
} from "../testing/wireguard-link.ts";

const INITIATION = 1;
const RESPONSE = 2;
const COOKIE_REPLY = 3;
const isType = (type: number) => (message: SentMessage) => message.bytes[0] === type;
const attacker = { id: Uint8Array.of(203, 0, 113, 9, 1, 1) };

/** Counts key agreements. */
function countingSuite(): { suite: CryptoSuite; agreements: () => number } {
  let count = 0;
  const suite: CryptoSuite = {
    ...crypto,
    publicKey(privateKey) {
      count++;
      return crypto.publicKey(privateKey);
    },
    sharedSecret(privateKey, publicKey) {
      count++;
      return crypto.sharedSecret(privateKey, publicKey);
    },
  };
  return { suite, agreements: () => count };
}

/** The state of a peer that a forged message must not change. */
function stateOf(host: WireguardHost, other: WireguardHost): unknown {
  const peer = host.peer(other);
  const { previous, current, next } = peer.keypairs;
  return {
    slots: [previous, current, next].map((each) => each && [each.localIndex, each.sendCounter, each.wiped]),
    handshake: peer.handshake,
    rxBytes: peer.rxBytes,
    lastReceivedAt: peer.lastReceivedAt,
    lastHandshakeAt: peer.lastHandshakeAt,
    delivered: host.delivered.length,
    sources: host.sources.length,
    events: host.events.length,
    free: [host.cipher.tx.free, host.cipher.rx.free],
  };
}

function establishedPair() {
  const pair = joinedPair(crypto);
  pair.a.send(ipv6Packet(1, 2, 10));
  pair.link.run(100);
  return pair;
}

describe("replays", () => {
  test("security 24: a captured initiation is refused, also after the peer was removed and added again", () => {
    const { link, a, b } = establishedPair();
    const initiation = link.sent.find(isType(INITIATION))!.bytes;
    link.run(1_000);
    const before = stateOf(b, a);
    b.receive(initiation, attacker);
    expect(b.device.drops.counts).toEqual({ replayed: 1 });
    expect(stateOf(b, a)).toEqual(before);
    b.device.removePeer(a.key, link.now);
    b.device.addPeer({ publicKey: a.key, allowedIPs: prefixesOf(1) }, link.now);
    b.receive(initiation, attacker);
    expect(b.device.drops.counts).toEqual({ replayed: 2 });
    expect(b.sources).not.toContain(attacker);
  });

  test("security 24: a responder that restarted accepts a replay once, without confirming it, and the peer's next initiation replaces it", () => {
    const { link, a, b } = establishedPair();
    const initiation = link.sent.find(isType(INITIATION))!.bytes;
    const privateKey = nodePrivateKey(clampPrivateKey(seededRandom(2).bytes(32)));
    const restarted = link.addHost("b again", { privateKey });
    expect(restarted.key).toEqual(b.key);
    restarted.device.addPeer({ publicKey: a.key, allowedIPs: prefixesOf(1) }, link.now);
    link.sent.length = 0;
    for (let times = 0; times < 3; times++) restarted.receive(initiation, attacker);
    expect(restarted.device.drops.counts).toEqual({ replayed: 2 });
    // The response is useless without the peer's private key: no session is confirmed, nothing delivered.
    expect(restarted.peer(a).keypairs.current).toBeUndefined();
    expect(restarted.delivered).toEqual([]);
    // The state left by the replay does not lock the real peer out.
    link.run(5_100);
    link.passes = () => false;
    link.sent.length = 0;
    a.device.startHandshake(a.peer(b), link.now);
    restarted.receive(link.sent.find(isType(INITIATION))!.bytes, a.source);
    expect(restarted.sources.at(-1)).toBe(a.source);
    a.receive(link.sent.find((message) => message.from === restarted && isType(RESPONSE)(message))!.bytes, b.source);
    a.send(ipv6Packet(1, 2, 20));
    restarted.receive(link.sent.findLast((message) => message.from === a)!.bytes, a.source);
    expect(restarted.delivered.length).toBeGreaterThan(0);
    restarted.receive(initiation, attacker);
    expect(restarted.device.drops.counts).toEqual({ replayed: 3 });
    expect(restarted.sources.at(-1)).toBe(a.source);
  });

  test("security 25: a captured response is refused", () => {
    const { link, a, b } = establishedPair();
    const before = stateOf(a, b);
    a.receive(link.sent.find(isType(RESPONSE))!.bytes, attacker);
    expect(a.device.drops.counts).toEqual({ "unknown-index": 1 });
    expect(stateOf(a, b)).toEqual(before);
  });

  test("security 25: transport messages are delivered once, even when the copies share a batch", () => {
    const { link, a, b } = establishedPair();
    a.send(ipv6Packet(1, 2, 20));
    const message = link.sent.at(-1)!.bytes;
    for (let i = 0; i < 5; i++) b.receive(message, attacker, false);
    b.device.flush(link.now);
    link.run(100);
    expect(b.delivered.length).toBe(2);
    expect(b.device.drops.counts).toEqual({ replayed: 5 });
  });

  test("security 25: reordered messages within the window are delivered, older ones are not", () => {
    const { link, a, b } = establishedPair();
    link.passes = () => false;
    link.sent.length = 0;
    const total = 8_200;
    for (let i = 0; i < total; i++) a.send(ipv6Packet(1, 2, 0), i % 32 === 31 || i === total - 1);
    const messages = link.sent.map((message) => message.bytes);
    expect(messages.length).toBe(total);
    b.receive(messages[total - 1]!, a.source);
    b.receive(messages[total - 1 - 8128]!, a.source);
    b.receive(messages[total - 2 - 8128]!, a.source);
    b.receive(messages[total - 2]!, a.source);
    expect(b.delivered.length).toBe(1 + 3);
    expect(b.device.drops.counts).toEqual({ replayed: 1 });
  });
});

describe("forgeries", () => {
  test("security 26: a wrong mac1 costs no key agreement", () => {
    const { suite, agreements } = countingSuite();
    const { link, a, b } = joinedPair(crypto, { b: { crypto: suite } });
    a.send(ipv6Packet(1, 2, 10));
    const initiation = link.sent[0]!.bytes;
    const before = agreements();
    for (let at = 4; at < 132; at++) {
      const forged = initiation.slice();
      forged[at] = forged[at]! ^ 1;
      b.receive(forged, attacker);
    }
    const response = new Uint8Array(92).fill(7);
    response.set([2, 0, 0, 0]);
    b.receive(response, attacker);
    expect(b.device.drops.counts).toEqual({ "bad-mac": 129 });
    expect(agreements()).toBe(before);
    link.run(100);
    expect(agreements()).toBeGreaterThan(before);
    expect(b.delivered.length).toBe(1);
  });

  test("a valid initiation of an unknown sender costs one key agreement and gets no answer", () => {
    const { suite, agreements } = countingSuite();
    const link = new WireguardLink(crypto);
    const stranger = link.addHost("stranger");
    const b = link.addHost("b", { crypto: suite });
    stranger.device.addPeer({ publicKey: b.key, allowedIPs: prefixesOf(2) }, link.now);
    const before = agreements();
    stranger.device.startHandshake(stranger.peer(b), link.now);
    link.run(100);
    expect(agreements() - before).toBe(1);
    expect(b.device.drops.counts).toEqual({ "unknown-peer": 1 });
    expect(link.sent.length).toBe(1);
  });

  test("security 29: a peer whose key makes an all-zero shared secret gets nothing and never a session", () => {
    const link = new WireguardLink(crypto);
    const a = link.addHost("a");
    const lowOrder = new Uint8Array(32);
    const peer = a.device.addPeer({ publicKey: lowOrder as typeof a.key, allowedIPs: prefixesOf(2) }, link.now);
    a.send(ipv6Packet(1, 2, 10));
    link.run(200_000);
    expect(link.sent).toEqual([]);
    expect(peer.hasSession(link.now)).toBe(false);
    expect(a.events).toEqual(["handshake-gave-up"]);
    expect(a.device.drops.counts["handshake-failed"]).toBe(20);
  });

  test("security 28: the path follows authenticated messages only", () => {
    const { link, a, b } = establishedPair();
    b.sources.length = 0;
    a.send(ipv6Packet(1, 2, 20));
    const good = link.sent.at(-1)!.bytes;
    const bad = good.slice();
    bad[20] = bad[20]! ^ 1;
    b.receive(bad, attacker);
    expect(b.sources).toEqual([]);
    const elsewhere = { id: Uint8Array.of(198, 51, 100, 1, 2, 2) };
    b.receive(good, elsewhere);
    expect(b.sources).toEqual([elsewhere]);
    b.receive(good, attacker);
    expect(b.sources).toEqual([elsewhere]);
    expect(b.device.drops.counts).toEqual({ "bad-tag": 1, replayed: 1 });
  });

  test("security 42: random bytes change nothing and make nothing throw", () => {
    const { link, a, b } = establishedPair();
    const index = b.peer(a).keypairs.current!.localIndex;
    const before = stateOf(b, a);
    const sentBefore = link.sent.length;
    const junk = fc
      .tuple(
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom(0, 1, 2, 3, 4, 5, 255),
        fc.boolean(),
        fc.constantFrom(0, 64, 92, 148),
      )
      .map(([bytes, type, indexed, length]) => {
        const message = new Uint8Array(length === 0 ? bytes.length : length);
        message.set(bytes.subarray(0, message.length));
        if (message.length >= 32) message.set([type, 0, 0, 0]);
        if (message.length >= 32 && indexed) new DataView(message.buffer).setUint32(type === 2 ? 8 : 4, index, true);
        return message;
      });
    fc.assert(
      fc.property(junk, (message) => {
        b.receive(message, attacker);
        expect(stateOf(b, a)).toEqual(before);
      }),
      { numRuns: 1000 },
    );
    expect(link.sent.length).toBe(sentBefore);
    a.send(ipv6Packet(1, 2, 20));
    link.run(50);
    expect(b.delivered.length).toBe(2);
  });

  test("security 42: real messages with bytes changed, cut or added change nothing", () => {
    const { link, a, b } = joinedPair(crypto);
    a.send(ipv6Packet(1, 2, 10));
    link.run(121_000);
    link.passes = () => false;
    a.send(ipv6Packet(1, 2, 30)); // starts a renewal, which is an initiation not seen before
    const captured = link.sent.filter((message) => message.to === b).map((message) => message.bytes);
    expect(captured.filter((bytes) => bytes[0] === INITIATION).length).toBe(2);
    const before = stateOf(b, a);
    const change = fc.record({
      which: fc.nat(captured.length - 1),
      at: fc.nat(300),
      mask: fc.integer({ min: 1, max: 255 }),
      cut: fc.integer({ min: -20, max: 20 }),
    });
    fc.assert(
      fc.property(change, ({ which, at, mask, cut }) => {
        const original = captured[which]!;
        const message = new Uint8Array(original.length + cut);
        message.set(original.subarray(0, message.length));
        // Index, counter and mac2 are not authenticated on their own, but no change of them may be accepted either.
        if (cut === 0) message[at % (message[0] === INITIATION ? 132 : message.length)]! ^= mask;
        if (bytesEqual(message, original)) return;
        b.receive(message, attacker);
        expect(stateOf(b, a)).toEqual(before);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("security 26: under load", () => {
  /** Floods `victim` with valid initiations of unknown senders until it is under load. */
  function flood(link: WireguardLink, victim: WireguardHost, count: number): void {
    for (let i = 0; i < count; i++) {
      const stranger = link.addHost(`stranger ${i}`, {
        privateKey: nodePrivateKey(clampPrivateKey(seededRandom(1000 + i).bytes(32))),
      });
      stranger.device.addPeer({ publicKey: victim.key, allowedIPs: prefixesOf(2) }, link.now);
      stranger.device.startHandshake(stranger.peer(victim), link.now);
      victim.receive(link.sent.at(-1)!.bytes, stranger.source);
    }
  }

  test("an initiation without cookie gets a cookie and no key agreement; the next one carries it and passes", () => {
    const { suite, agreements } = countingSuite();
    const { link, a, b } = joinedPair(crypto, { b: { crypto: suite, underLoadInitiationsPerSecond: 5 } });
    flood(link, b, 6);
    link.sent.length = 0;
    const before = agreements();
    a.send(ipv6Packet(1, 2, 10));
    const initiation = link.sent[0]!.bytes;
    link.run(50);
    expect(agreements()).toBe(before);
    expect(b.delivered.length).toBe(0);
    const replies = link.sent.filter((message) => isType(COOKIE_REPLY)(message) && message.to === a);
    expect(replies.map((message) => message.bytes.length)).toEqual([64]);
    expect(initiation.subarray(132)).toEqual(new Uint8Array(16));
    // The reply alone does not make a send anything; its timer does.
    expect(link.sent.filter((message) => message.from === a).length).toBe(1);
    link.run(4_900);
    flood(link, b, 6);
    link.sent.length = 0;
    const floodedAt = agreements();
    link.run(400);
    const second = link.sent.find((message) => message.from === a)!;
    expect(second.bytes.subarray(132)).not.toEqual(new Uint8Array(16));
    expect(agreements()).toBeGreaterThan(floodedAt);
    expect(b.delivered.length).toBe(1);
    expect(a.device.drops.counts).toEqual({});
  });

  test("a cookie is valid for its own address only, and for 120 s", () => {
    const { link, a, b } = joinedPair(crypto, { b: { underLoadInitiationsPerSecond: 0 } });
    a.send(ipv6Packet(1, 2, 10));
    link.run(5_400);
    expect(b.delivered.length).toBe(1);
    const droppedBefore = b.device.drops.counts["under-load"]!;
    link.run(5_000);
    link.passes = () => false;
    link.sent.length = 0;
    a.device.startHandshake(a.peer(b), link.now);
    const withCookie = link.sent[0]!.bytes;
    b.receive(withCookie, attacker);
    expect(b.device.drops.counts["under-load"]).toBe(droppedBefore + 1);
    link.run(120_000);
    b.receive(withCookie, a.source);
    expect(b.device.drops.counts["under-load"]).toBe(droppedBefore + 2);
    link.sent.length = 0;
    link.run(5_400);
    const later = link.sent.find(isType(INITIATION));
    if (later !== undefined) expect(later.bytes.subarray(132)).toEqual(new Uint8Array(16));
    a.device.startHandshake(a.peer(b), link.now);
    expect(link.sent.find(isType(INITIATION))!.bytes.subarray(132)).toEqual(new Uint8Array(16));
  });

  test("proven sources are limited to a burst of 5 and 20 per second, counted by host", () => {
    const { link, a, b } = joinedPair(crypto, { b: { underLoadInitiationsPerSecond: 0 } });
    a.source = { ...a.source, hostId: Uint8Array.of(192, 0, 2, 1) };
    a.send(ipv6Packet(1, 2, 10));
    link.run(5_400);
    link.run(5_000);
    link.passes = () => false;
    link.sent.length = 0;
    a.device.startHandshake(a.peer(b), link.now);
    const withCookie = link.sent[0]!.bytes;
    for (let i = 0; i < 30; i++) b.receive(withCookie, a.source);
    expect(b.device.drops.counts).toMatchObject({ replayed: 4, "rate-limited": 25 });
  });

  test("cookie replies for another peer's message, or without one, are ignored", () => {
    const { link, a } = joinedPair(crypto, { b: { underLoadInitiationsPerSecond: 0 } });
    a.send(ipv6Packet(1, 2, 10));
    link.run(15);
    const reply = link.sent.find(isType(COOKIE_REPLY))!.bytes;
    const forged = reply.slice();
    forged[40] = forged[40]! ^ 1;
    a.receive(forged, attacker);
    const misdirected = reply.slice();
    misdirected[4] = misdirected[4]! ^ 1;
    a.receive(misdirected, attacker);
    expect(a.device.drops.counts).toEqual({ "bad-tag": 1, "unknown-index": 1 });
    link.run(10);
    expect(a.device.drops.counts).toEqual({ "bad-tag": 1, "unknown-index": 1 });
  });

  test("a flood from spoofed addresses gets a bounded number of answers and does not disturb a session", () => {
    const { suite, agreements } = countingSuite();
    const { link, a, b } = joinedPair(crypto, { b: { crypto: suite, underLoadInitiationsPerSecond: 5 } });
    a.send(ipv6Packet(1, 2, 10));
    link.run(100);
    const stranger = link.addHost("stranger");
    stranger.device.addPeer({ publicKey: b.key, allowedIPs: prefixesOf(2) }, link.now);
    stranger.device.startHandshake(stranger.peer(b), link.now);
    const initiation = link.sent.at(-1)!.bytes;
    const replies: number[] = [];
    b.sendMessage = (_peer, slot, length) => {
      replies.push(length);
      b.cipher.tx.release(slot);
    };
    const random = seededRandom(5);
    const before = agreements();
    for (let i = 0; i < 3_000; i++) b.receive(initiation, { id: random.bytes(6) });
    expect(agreements() - before).toBeLessThanOrEqual(5);
    expect(replies.length).toBe(200);
    expect(new Set(replies)).toEqual(new Set([64]));
    a.send(ipv6Packet(1, 2, 10));
    link.run(50);
    expect(b.delivered.length).toBe(2);
  });
});
