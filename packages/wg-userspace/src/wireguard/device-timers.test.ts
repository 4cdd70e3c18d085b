import { describe, expect, test } from "vitest";
import { nodeCryptoSuite as crypto } from "../io/host/crypto-suite.ts";
import {
  type HostOptions,
  ipv6Packet,
  joinedPair,
  type SentMessage,
  type WireguardHost,
} from "../testing/wireguard-link.ts";

const INITIATION = 1;
const RESPONSE = 2;
const TRANSPORT = 4;
const isType = (type: number) => (message: SentMessage) => message.bytes[0] === type;
const isKeepalive = (message: SentMessage) => message.bytes[0] === TRANSPORT && message.bytes.length === 32;
const from = (host: WireguardHost) => (message: SentMessage) => message.from === host;

/** A pair whose session `a` began; both are idle, all their timers but the key expiry have run out. */
function settledPair(options: { readonly a?: HostOptions; readonly b?: HostOptions } = {}) {
  const pair = joinedPair(crypto, options);
  pair.a.device.startHandshake(pair.a.peer(pair.b), pair.link.now);
  pair.link.run(50);
  const establishedAt = pair.a.peer(pair.b).keypairs.current!.createdAt;
  pair.link.sent.length = 0;
  return { ...pair, establishedAt, until: (age: number) => pair.link.run(establishedAt + age - pair.link.now) };
}

describe("retransmitHandshake", () => {
  test("repeats an unanswered initiation every 5 s plus jitter, newly built each time, then gives up", () => {
    const { link, a, b } = joinedPair(crypto);
    link.passes = () => false;
    a.send(ipv6Packet(1, 2, 10));
    const startedAt = link.now;
    link.run(300_000);
    expect(link.sent.every(isType(INITIATION))).toBe(true);
    expect(link.sent.length).toBe(20);
    for (let i = 1; i < link.sent.length; i++) {
      const gap = link.sent[i]!.at - link.sent[i - 1]!.at;
      expect(gap).toBeGreaterThanOrEqual(5_000);
      expect(gap).toBeLessThanOrEqual(5_333);
    }
    const gaps = new Set(link.sent.map((message, i) => message.at - (link.sent[i - 1]?.at ?? 0)));
    expect(gaps.size).toBeGreaterThan(10);
    const ephemerals = new Set(link.sent.map((message) => message.bytes.subarray(8, 40).join()));
    expect(ephemerals.size).toBe(20);
    expect(a.events).toEqual(["handshake-gave-up"]);
    expect(a.device.drops.counts).toEqual({ "no-keypair": 1 });
    expect(link.sent.at(-1)!.at - startedAt).toBeGreaterThanOrEqual(90_000);
    expect(b.device.drops.counts).toEqual({});
  });

  test("after giving up all handshake state is wiped 540 s later, and a new packet tries again", () => {
    const { link, a, b } = joinedPair(crypto);
    link.passes = () => false;
    a.send(ipv6Packet(1, 2, 10));
    link.run(110_000);
    expect(a.events).toEqual(["handshake-gave-up"]);
    expect(a.peer(b).handshake).toBeDefined();
    link.run(540_000);
    expect(a.peer(b).handshake).toBeUndefined();
    link.passes = () => true;
    a.send(ipv6Packet(1, 2, 10));
    link.run(100);
    expect(b.delivered.length).toBe(1);
  });

  test("a lost initiation, response or confirmation costs one round, not the packet", () => {
    for (const lost of [0, 1, 2]) {
      const { link, a, b } = joinedPair(crypto);
      link.passes = () => link.sent.length !== lost + 1;
      a.send(ipv6Packet(1, 2, 10));
      link.run(30);
      a.send(ipv6Packet(1, 2, 11));
      link.run(6_000);
      const lengths = b.delivered.map((each) => each.packet.length);
      expect(lengths).toEqual(lost === 2 ? [51] : [50, 51]);
    }
  });

  test("no handshake message follows another to the same peer within 5 s", () => {
    const { link, a, b } = joinedPair(crypto);
    a.device.startHandshake(a.peer(b), link.now);
    a.device.startHandshake(a.peer(b), link.now);
    link.passes = isType(INITIATION);
    link.run(20); // b has answered, a does not get the answer
    b.device.startHandshake(b.peer(a), link.now);
    link.run(4_900);
    a.device.startHandshake(a.peer(b), link.now);
    expect(link.sent.map((message) => message.bytes[0])).toEqual([INITIATION, RESPONSE]);
  });

  test("a responder with something to send begins a handshake itself when the initiator falls silent", () => {
    const { link, a, b } = joinedPair(crypto);
    link.passes = (message) => !isType(RESPONSE)(message);
    a.device.startHandshake(a.peer(b), link.now);
    link.run(20);
    b.send(ipv6Packet(2, 1, 10));
    expect(link.sent.filter(isType(TRANSPORT))).toEqual([]);
    a.device.removePeer(b.key, link.now);
    link.run(6_000);
    expect(link.sent.filter(from(b)).map((message) => message.bytes[0])).toEqual([RESPONSE, INITIATION]);
  });
});

describe("newHandshake", () => {
  test("starts 15 s plus jitter after data that nothing answered", () => {
    const { link, a } = settledPair();
    link.passes = () => false;
    a.send(ipv6Packet(1, 2, 10));
    const sentAt = link.now;
    link.run(2_000);
    a.send(ipv6Packet(1, 2, 10));
    link.run(14_000);
    const initiations = link.sent.filter(isType(INITIATION));
    expect(initiations.length).toBe(1);
    expect(initiations[0]!.at - sentAt).toBeGreaterThanOrEqual(15_000);
    expect(initiations[0]!.at - sentAt).toBeLessThanOrEqual(15_333);
  });

  test("does not start when anything came back, nor after keepalives only", () => {
    const { link, a, b } = settledPair();
    a.send(ipv6Packet(1, 2, 10)); // b answers with a passive keepalive after 10 s
    link.run(40_000);
    expect(link.sent.filter(isType(INITIATION))).toEqual([]);
    b.peer(a).setPersistentKeepalive(5_000, link.now);
    link.passes = from(b);
    link.run(40_000);
    expect(link.sent.filter(isKeepalive).length).toBeGreaterThan(7);
    expect(link.sent.filter(isType(INITIATION))).toEqual([]);
  });
});

describe("sendKeepalive", () => {
  test("answers data that nothing else answered, 10 s later, once", () => {
    const { link, a, b } = settledPair();
    a.send(ipv6Packet(1, 2, 10));
    link.run(60_000);
    const fromB = link.sent.filter(from(b));
    expect(fromB.map((message) => [isKeepalive(message), message.at - link.sent[0]!.at])).toEqual([[true, 10_010]]);
  });

  test("is followed by another when more data arrived in the meantime", () => {
    const { link, a, b } = settledPair();
    a.send(ipv6Packet(1, 2, 10));
    link.run(5_000);
    a.send(ipv6Packet(1, 2, 10));
    link.run(60_000);
    expect(link.sent.filter(from(b)).map((message) => message.at - link.sent[0]!.at)).toEqual([10_010, 20_010]);
  });

  test("is not sent when data was sent in the meantime, nor for a keepalive", () => {
    const { link, a, b } = settledPair();
    a.send(ipv6Packet(1, 2, 10));
    link.run(5_000);
    b.send(ipv6Packet(2, 1, 10));
    link.run(60_000);
    expect(link.sent.filter(from(b)).filter(isKeepalive)).toEqual([]);
    expect(link.sent.filter(from(a)).filter(isKeepalive).length).toBe(1);
  });
});

describe("persistentKeepalive", () => {
  test("keeps a path alive from the moment it is switched on until it is switched off", () => {
    const { link, a, b } = settledPair();
    a.peer(b).setPersistentKeepalive(25_000, link.now);
    link.run(100_000);
    expect(link.sent.filter(from(a)).map((message) => message.at - link.sent[0]!.at)).toEqual([
      0, 25_000, 50_000, 75_000, 100_000,
    ]);
    expect(link.sent.every(isKeepalive)).toBe(true);
    a.peer(b).setPersistentKeepalive(undefined, link.now);
    link.sent.length = 0;
    link.run(100_000);
    expect(link.sent).toEqual([]);
  });

  test("counts from the last message, sent or received", () => {
    const { link, a, b } = settledPair();
    a.peer(b).setPersistentKeepalive(25_000, link.now);
    link.run(20_000);
    b.send(ipv6Packet(2, 1, 10)); // answered by a passive keepalive 10 s later, which counts too
    const at = link.now;
    link.run(60_000);
    expect(link.sent.filter(from(a)).map((message) => message.at - at)).toEqual([-20_000, 10_010, 35_010]);
  });

  test("brings a session up on its own and renews it indefinitely", () => {
    const { link, a, b } = joinedPair(crypto, { peer: { persistentKeepaliveMs: 25_000 } });
    link.run(1_000_000);
    expect(a.peer(b).hasSession(link.now)).toBe(true);
    expect(b.peer(a).hasSession(link.now)).toBe(true);
    expect(a.device.drops.counts).toEqual({});
  });
});

describe("security 29: key lifetimes", () => {
  test("the initiator renews when it sends after 120 s, the responder does not", () => {
    const { link, a, b, until } = settledPair();
    until(120_000);
    a.send(ipv6Packet(1, 2, 10));
    until(120_001);
    b.send(ipv6Packet(2, 1, 10));
    expect(link.sent.filter(isType(INITIATION))).toEqual([]);
    a.send(ipv6Packet(1, 2, 10));
    expect(link.sent.filter(isType(INITIATION)).map((message) => message.from)).toEqual([a]);
    link.run(100);
    expect(a.peer(b).keypairs.current!.createdAt).toBeGreaterThan(120_000);
    expect(b.peer(a).keypairs.current!.isInitiator).toBe(false);
    expect([a.delivered.length, b.delivered.length]).toEqual([1, 2]);
  });

  test("an initiator that only receives renews once after 165 s", () => {
    const { link, a, b, until } = settledPair();
    link.passes = (message) => !isType(INITIATION)(message);
    until(164_980);
    b.send(ipv6Packet(2, 1, 10));
    until(165_000);
    expect(link.sent.filter(isType(INITIATION))).toEqual([]);
    for (let i = 0; i < 40; i++) {
      b.send(ipv6Packet(2, 1, 10));
      link.run(100);
    }
    expect(link.sent.filter(isType(INITIATION)).map((message) => message.from)).toEqual([a]);
  });

  test("nothing is sent or accepted on a keypair that is 180 s old", () => {
    const { link, a, b, until } = settledPair();
    link.passes = (message) => !isType(INITIATION)(message);
    until(179_985);
    b.send(ipv6Packet(2, 1, 10));
    until(179_999);
    expect(a.delivered.length).toBe(1);
    expect(a.peer(b).hasSession(link.now)).toBe(true);
    expect(b.peer(a).hasSession(link.now)).toBe(false); // b derived its keys a little earlier
    b.send(ipv6Packet(2, 1, 11));
    until(180_000);
    expect(a.peer(b).hasSession(link.now)).toBe(false);
    a.send(ipv6Packet(1, 2, 10));
    expect(link.sent.at(-1)!.bytes[0]).toBe(INITIATION);
    until(180_100);
    expect(a.delivered.length).toBe(1);
    expect(b.delivered).toEqual([]);
  });

  test("a message on an expired keypair is dropped before it is opened", () => {
    const { link, a, b, until } = settledPair();
    b.send(ipv6Packet(2, 1, 10));
    const message = link.sent.at(-1)!.bytes;
    link.passes = () => false;
    until(180_000);
    a.receive(message, b.source);
    expect(a.device.drops.counts["keypair-expired"]).toBe(1);
  });

  test("540 s after the last session every key is wiped and its index forgotten", () => {
    const { link, a, b, until } = settledPair();
    const keypair = a.peer(b).keypairs.current!;
    b.send(ipv6Packet(2, 1, 10));
    const message = link.sent.at(-1)!.bytes;
    link.passes = () => false;
    until(539_999);
    expect(keypair.wiped).toBe(false);
    until(540_000);
    expect(keypair.wiped).toBe(true);
    expect(keypair.sendKey).toEqual(new Uint8Array(32));
    expect(keypair.receiveKey).toEqual(new Uint8Array(32));
    expect(a.peer(b).keypairs.current).toBeUndefined();
    a.receive(message, b.source);
    expect(a.device.drops.counts["unknown-index"]).toBe(1);
  });

  test("after REKEY_AFTER_MESSAGES messages the sender renews, in either role", () => {
    const messageLimits = { rekeyAfterMessages: 10, rejectAfterMessages: 1000 };
    const { link, a, b } = settledPair({ b: { messageLimits } });
    link.run(5_000);
    for (let i = 0; i < 10; i++) b.send(ipv6Packet(2, 1, 10));
    expect(link.sent.filter(isType(INITIATION))).toEqual([]);
    b.send(ipv6Packet(2, 1, 10));
    expect(link.sent.filter(isType(INITIATION)).map((message) => message.from)).toEqual([b]);
    link.run(100);
    expect(b.peer(a).keypairs.current!.isInitiator).toBe(true);
    expect(a.delivered.length).toBe(11);
  });

  test("at REJECT_AFTER_MESSAGES the keypair sends no more; packets wait for the next one", () => {
    const messageLimits = { rekeyAfterMessages: 1000, rejectAfterMessages: 5 };
    const { link, a, b } = settledPair({ a: { messageLimits } });
    link.run(5_000);
    for (let i = 0; i < 8; i++) a.send(ipv6Packet(1, 2, 10, i)); // one counter was used by the confirmation
    expect(link.sent.filter(isType(TRANSPORT)).length).toBe(4);
    expect(a.peer(b).hasSession(link.now)).toBe(false);
    link.run(100);
    expect(b.delivered.map((each) => each.packet[40])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe("renewal", () => {
  test("under traffic both ways for ten minutes no packet is lost or reordered", () => {
    const { link, a, b } = joinedPair(crypto);
    const perSide = 6_000;
    for (let i = 0; i < perSide; i++) {
      a.send(ipv6Packet(1, 2, 4, i & 255));
      if (i > 0) b.send(ipv6Packet(2, 1, 4, i & 255));
      link.run(100);
    }
    link.run(1_000);
    expect(b.delivered.map((each) => each.packet[40])).toEqual(Array.from({ length: perSide }, (_, i) => i & 255));
    expect(a.delivered.map((each) => each.packet[40])).toEqual(
      Array.from({ length: perSide - 1 }, (_, i) => (i + 1) & 255),
    );
    expect(link.sent.filter(isType(INITIATION)).length).toBe(5);
    expect([a.device.drops.counts, b.device.drops.counts]).toEqual([{}, {}]);
  });

  test("data that overtakes or trails the handshake messages is still accepted", () => {
    const { link, a, b, until } = settledPair();
    until(120_001);
    b.send(ipv6Packet(2, 1, 1)); // in flight on the old keypair when a installs the new one
    a.send(ipv6Packet(1, 2, 1));
    b.send(ipv6Packet(2, 1, 2));
    const trailing: SentMessage[] = [];
    link.passes = (message) => {
      if (isType(TRANSPORT)(message) && message.from === b) trailing.push(message);
      return !(isType(TRANSPORT)(message) && message.from === b);
    };
    link.run(12);
    b.send(ipv6Packet(2, 1, 3));
    link.run(50);
    expect(a.peer(b).keypairs.previous).toBeDefined();
    for (const message of trailing) a.receive(message.bytes, b.source);
    expect(a.delivered.map((each) => each.packet.length - 40)).toEqual([1, 2, 3]);
  });

  test("when both sides begin at once, both end with a session and all packets arrive", () => {
    const { link, a, b } = joinedPair(crypto);
    for (let i = 0; i < 20; i++) {
      a.send(ipv6Packet(1, 2, 4, i));
      b.send(ipv6Packet(2, 1, 4, i));
    }
    link.run(100);
    for (let i = 20; i < 40; i++) {
      a.send(ipv6Packet(1, 2, 4, i));
      b.send(ipv6Packet(2, 1, 4, i));
      link.run(10);
    }
    link.run(100);
    const all = Array.from({ length: 40 }, (_, i) => i);
    expect(a.delivered.map((each) => each.packet[40])).toEqual(all);
    expect(b.delivered.map((each) => each.packet[40])).toEqual(all);
    expect(link.sent.filter(isType(INITIATION)).length).toBe(2);
    expect([a.device.drops.counts, b.device.drops.counts]).toEqual([{}, {}]);
    const [ofA, ofB] = [a.peer(b).keypairs.current!, b.peer(a).keypairs.current!];
    expect(ofA.isInitiator).not.toBe(ofB.isInitiator);
    expect(ofA.sendKey).toEqual(ofB.receiveKey);
  });

  test("after a simultaneous start, renewals under traffic both ways lose nothing", () => {
    const { link, a, b } = joinedPair(crypto);
    const perSide = 10_000;
    for (let i = 0; i < perSide; i++) {
      a.send(ipv6Packet(1, 2, 4, i & 255));
      b.send(ipv6Packet(2, 1, 4, i & 255));
      link.run(i === 0 ? 50 : 37);
    }
    link.run(1_000);
    const all = Array.from({ length: perSide }, (_, i) => i & 255);
    expect(a.delivered.map((each) => each.packet[40])).toEqual(all);
    expect(b.delivered.map((each) => each.packet[40])).toEqual(all);
    expect(link.sent.filter(isType(INITIATION)).length).toBe(2 + 3);
  });
});
