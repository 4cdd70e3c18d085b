import { describe, expect, test } from "vitest";
import { EngineError } from "../base/errors.ts";
import { type IpPrefix, ip, parsePrefix } from "../base/ip.ts";
import { nodePublicKey } from "../base/keys.ts";
import { nodeCryptoSuite as crypto } from "../io/host/crypto-suite.ts";
import {
  ipv4Packet,
  ipv6Of,
  ipv6Packet,
  joinedPair,
  prefixesOf,
  type SentMessage,
  type WireguardHost,
  WireguardLink,
} from "../testing/wireguard-link.ts";

const packetsOf = (host: WireguardHost) => host.delivered.map((each) => each.packet);
const typeOf = (message: SentMessage) => message.bytes[0];
const prefix = (text: string): IpPrefix => parsePrefix(text)!;

function expectNoLeaks(...hosts: readonly WireguardHost[]): void {
  for (const { cipher } of hosts) {
    expect([cipher.tx.free, cipher.rx.free]).toEqual([cipher.tx.capacity - 8, cipher.rx.capacity - 8]);
  }
}

describe("sending and receiving", () => {
  test("a first packet starts a handshake, waits for it, and then flows; so does the answer to it", () => {
    const { link, a, b } = joinedPair(crypto);
    a.send(ipv6Packet(1, 2, 100));
    expect(link.sent.map(typeOf)).toEqual([1]);
    link.run(100);
    expect(packetsOf(b)).toEqual([ipv6Packet(1, 2, 100)]);
    b.send(ipv4Packet(2, 1, 50));
    link.run(100);
    expect(packetsOf(a)).toEqual([ipv4Packet(2, 1, 50)]);
    expect([a.events, b.events]).toEqual([["session-established"], ["session-established"]]);
    expect([a.device.drops.counts, b.device.drops.counts]).toEqual([{}, {}]);
    expect([a.peer(b).txBytes, a.peer(b).rxBytes]).toEqual([140, 70]);
    expect([b.peer(a).txBytes, b.peer(a).rxBytes]).toEqual([70, 140]);
    expect([a.peer(b).hasSession(link.now), b.peer(a).hasSession(link.now)]).toEqual([true, true]);
    expect(a.peer(b).lastHandshakeAt).toBe(1020);
    expect(b.peer(a).lastHandshakeAt).toBe(1030);
    expect(b.peer(a).lastReceivedAt).toBe(1030);
    expectNoLeaks(a, b);
  });

  test("packets staged during the handshake arrive complete and in order, at most the newest 128", () => {
    const { link, a, b } = joinedPair(crypto);
    for (let i = 0; i < 130; i++) a.send(ipv6Packet(1, 2, 4, i));
    link.run(100);
    expect(packetsOf(b)).toEqual(Array.from({ length: 128 }, (_, i) => ipv6Packet(1, 2, 4, i + 2)));
    expect(a.device.drops.counts).toEqual({ "queue-full": 2 });
    expectNoLeaks(a, b);
  });

  test("large packets are sealed and opened a few at a time, without waiting for a full batch", () => {
    const size = { mtu: 60_000, stride: 66_112, slots: 32 };
    const { link, a, b } = joinedPair(crypto, { a: size, b: size });
    a.send(ipv6Packet(1, 2, 100));
    link.run(100);
    const packets = [1, 2, 3, 4].map((fill) => ipv6Packet(1, 2, 59_000, fill));
    const before = link.sent.length;
    for (const packet of packets) a.send(packet, false);
    expect(link.sent.length - before).toBe(3);
    a.device.flush(link.now);
    const messages = link.sent.slice(before);
    expect(messages).toHaveLength(4);
    for (const { bytes, from } of messages) b.receive(bytes, from.source, false);
    expect(packetsOf(b).slice(1)).toEqual(packets.slice(0, 3));
    b.device.flush(link.now);
    expect(packetsOf(b).slice(1)).toEqual(packets);
    expectNoLeaks(a, b);
  });

  test("staged packets wait for slots when there are fewer slots than packets", () => {
    const { link, a, b } = joinedPair(crypto, { a: { slots: 20 } });
    for (let i = 0; i < 60; i++) a.send(ipv6Packet(1, 2, 4, i));
    const held: number[] = [];
    const output = a.sendMessage.bind(a);
    a.sendMessage = (peer, slot, length, replyTo) => {
      if (length <= 64 || length >= 148 || held.length >= 8) return output(peer, slot, length, replyTo);
      held.push(slot); // a socket that is slow to return slots
      const copy = a.cipher.memory.bytes.slice(slot, slot + length);
      link.carry(a, peer?.publicKey, replyTo, copy);
    };
    link.run(60);
    expect(held.length).toBe(8);
    for (const slot of held) a.cipher.tx.release(slot);
    link.run(100);
    expect(packetsOf(b)).toEqual(Array.from({ length: 60 }, (_, i) => ipv6Packet(1, 2, 4, i)));
    expectNoLeaks(a, b);
  });

  test("every transport message is padded with zeros to 16 bytes, but not beyond the MTU", () => {
    const { link, a, b } = joinedPair(crypto, { a: { mtu: 1275 }, b: { mtu: 1275 } });
    const seen: number[] = [];
    a.device.startHandshake(a.peer(b), link.now);
    link.run(50);
    link.passes = (message) => {
      seen.push(message.bytes.length - 32);
      return true;
    };
    for (const payload of [0, 1, 8, 1224, 1235]) a.send(ipv6Packet(1, 2, payload));
    link.run(50);
    expect(seen).toEqual([48, 48, 48, 1264, 1275]);
    expect(packetsOf(b).map((packet) => packet.length)).toEqual([40, 41, 48, 1264, 1275]);
    expect(packetsOf(b)[1]).toEqual(ipv6Packet(1, 2, 1));
  });

  test("more than one batch in a turn goes through, and answers made during delivery leave with it", () => {
    const { link, a, b } = joinedPair(crypto);
    a.device.startHandshake(a.peer(b), link.now);
    link.run(50);
    b.onPacket = (packet) => b.send(ipv6Packet(2, 1, 8, packet[40]!), false);
    for (let i = 0; i < 100; i++) a.send(ipv6Packet(1, 2, 8, i), false);
    a.device.flush(link.now);
    link.run(9.5);
    expect(packetsOf(b)).toEqual([]);
    link.run(1);
    expect(packetsOf(b)).toEqual(Array.from({ length: 100 }, (_, i) => ipv6Packet(1, 2, 8, i)));
    link.run(10);
    expect(packetsOf(a)).toEqual(Array.from({ length: 100 }, (_, i) => ipv6Packet(2, 1, 8, i)));
    expectNoLeaks(a, b);
  });

  test("a packet without a route, or one that is not an IP packet, is dropped and counted", () => {
    const { a, b } = joinedPair(crypto);
    a.send(ipv6Packet(1, 99, 10));
    a.send(new Uint8Array(60).fill(0x10));
    a.send(new Uint8Array(19).fill(0x45));
    expect(a.device.drops.counts).toEqual({ "no-route": 1, malformed: 2 });
    expectNoLeaks(a, b);
  });

  test("security 13: an inner packet from an address that is not the peer's is dropped", () => {
    const { link, a, b } = joinedPair(crypto);
    a.send(ipv6Packet(1, 2, 10));
    a.send(ipv6Packet(77, 2, 10));
    a.send(ipv4Packet(77, 2, 10));
    a.send(ipv4Packet(1, 2, 10));
    link.run(100);
    expect(packetsOf(b)).toEqual([ipv6Packet(1, 2, 10), ipv4Packet(1, 2, 10)]);
    expect(b.device.drops.counts).toEqual({ "source-not-allowed": 2 });
  });

  test("an inner packet whose length field exceeds it is dropped", () => {
    const { link, a, b } = joinedPair(crypto);
    const packet = ipv6Packet(1, 2, 8);
    packet[5] = 9;
    a.send(packet);
    link.run(100);
    expect(b.device.drops.counts).toEqual({ malformed: 1 });
    expect(packetsOf(b)).toEqual([]);
  });
});

describe("scarcity and faults", () => {
  function leaseAll(host: WireguardHost): number[] {
    const held: number[] = [];
    for (;;) {
      const slot = host.cipher.tx.leaseForControl();
      if (slot < 0) return held;
      held.push(slot);
    }
  }

  test("without any slot handshake messages are lost and repeated, and confirmations wait", () => {
    const { link, a, b } = joinedPair(crypto);
    let held = leaseAll(a);
    a.device.startHandshake(a.peer(b), link.now);
    expect(link.sent).toEqual([]);
    expect(a.device.drops.counts).toEqual({ "no-slot": 1 });
    for (const slot of held) a.cipher.tx.release(slot);
    link.run(5_350);
    expect(b.events).toEqual(["session-established"]);

    const again = joinedPair(crypto);
    again.a.device.startHandshake(again.a.peer(again.b), again.link.now);
    held = leaseAll(again.a);
    again.link.run(100);
    expect([again.a.events, again.b.events]).toEqual([["session-established"], []]);
    for (const slot of held) again.a.cipher.tx.release(slot);
    again.link.run(20);
    expect(again.b.events).toEqual(["session-established"]);
    expectNoLeaks(a, b, again.a, again.b);
  });

  test("a callback that throws loses its batch but no slot, and the device continues", () => {
    const { link, a, b } = joinedPair(crypto);
    a.device.startHandshake(a.peer(b), link.now);
    link.run(50);
    b.onPacket = (packet) => {
      if (packet[40] === 1) throw new Error("a bug above");
    };
    for (let i = 0; i < 4; i++) a.send(ipv6Packet(1, 2, 10, i), false);
    a.device.flush(link.now);
    expect(() => link.run(20)).toThrow("a bug above");
    expectNoLeaks(a, b);
    const output = a.sendMessage.bind(a);
    a.sendMessage = (_peer, slot) => {
      a.sendMessage = output;
      a.cipher.tx.release(slot);
      throw new Error("a bug below");
    };
    for (let i = 4; i < 7; i++) a.send(ipv6Packet(1, 2, 10, i), false);
    expect(() => a.device.flush(link.now)).toThrow("a bug below");
    expectNoLeaks(a, b);
    a.send(ipv6Packet(1, 2, 10, 9));
    link.run(50);
    expect(packetsOf(b).map((packet) => packet[40])).toEqual([0, 1, 9]);
  });

  test("an output that sends from within sendMessage neither loops nor loses packets", () => {
    const { link, a, b } = joinedPair(crypto);
    a.device.startHandshake(a.peer(b), link.now);
    link.run(50);
    const output = a.sendMessage.bind(a);
    let extra = 5;
    a.sendMessage = (...message) => {
      output(...message);
      if (extra-- > 0) a.send(ipv6Packet(1, 2, 10, 100 + extra));
    };
    a.send(ipv6Packet(1, 2, 10));
    for (let i = 0; i < 6; i++) a.device.flush(link.now);
    link.run(50);
    expect(packetsOf(b).map((packet) => packet[40])).toEqual([0x5a, 104, 103, 102, 101, 100]);
    expectNoLeaks(a, b);
  });
});

describe("peers", () => {
  test("a changed peer keeps its session; a prefix moves to the peer that got it last", () => {
    const { link, a, b } = joinedPair(crypto);
    const c = link.addHost("c");
    a.send(ipv6Packet(1, 2, 10));
    link.run(100);
    const before = a.peer(b);
    before.attachment = "mine";
    const again = a.device.addPeer(
      { publicKey: b.key, allowedIPs: [prefix("10.9.0.0/16"), prefix("fd00::2")] },
      link.now,
    );
    expect(again).toBe(before);
    expect(again.attachment).toBe("mine");
    expect(again.hasSession(link.now)).toBe(true);
    expect(a.device.peerFor(ip("10.9.1.1"), 0, 4)).toBe(again);
    expect(a.device.peerFor(ip("10.0.0.2"), 0, 4)).toBeUndefined();
    const other = a.device.addPeer({ publicKey: c.key, allowedIPs: [prefix("10.9.3.3/16")] }, link.now);
    expect(a.device.peerFor(ip("10.9.1.1"), 0, 4)).toBe(other);
    expect(again.allowedIPs).toEqual([prefix("fd00::2")]);
    expect([...a.device.peers]).toEqual([again, other]);
  });

  test("an invalid peer is refused with a reason", () => {
    const { link, a, b } = joinedPair(crypto, { a: { maxPeers: 1 } });
    const attempt = (config: Parameters<typeof a.device.addPeer>[0]) => () => a.device.addPeer(config, link.now);
    const other = nodePublicKey(new Uint8Array(32).fill(9));
    expect(attempt({ publicKey: a.key, allowedIPs: [] })).toThrow(/own key/);
    expect(attempt({ publicKey: b.key, allowedIPs: [], presharedKey: new Uint8Array(31) })).toThrow(/31 bytes/);
    expect(attempt({ publicKey: b.key, allowedIPs: [{ address: ip("1.2.3.4"), bits: 33 }] })).toThrow(/1\.2\.3\.4\/33/);
    expect(attempt({ publicKey: other, allowedIPs: [] })).toThrow(EngineError);
    expect(() => a.device.setMtu(1505)).toThrow(/1505/);
    a.device.setMtu(1504);
  });

  test("a removed peer leaves no keys, routes, indices, timers or slots behind", () => {
    const { link, a, b } = joinedPair(crypto);
    a.send(ipv6Packet(1, 2, 10));
    link.run(100);
    const peer = a.peer(b);
    const keypair = peer.keypairs.current!;
    a.send(ipv6Packet(1, 2, 10), false);
    b.send(ipv6Packet(2, 1, 10));
    a.receive(link.sent.at(-1)!.bytes, b.source, false);
    const fromB = link.sent.at(-1)!.bytes;
    expect(a.device.removePeer(b.key, link.now)).toBe(true);
    expect(a.device.removePeer(b.key, link.now)).toBe(false);
    const sentBefore = link.sent.length;
    a.device.flush(link.now);
    expect(link.sent.length).toBe(sentBefore);
    expect(packetsOf(a)).toEqual([]);
    expect(keypair.wiped).toBe(true);
    expect([...keypair.sendKey, ...keypair.receiveKey].every((byte) => byte === 0)).toBe(true);
    expect(peer.presharedKey.every((byte) => byte === 0)).toBe(true);
    expect(a.device.peerFor(ipv6Of(2), 0, 16)).toBeUndefined();
    expect(a.device.nextTimeout()).toBeUndefined();
    a.receive(fromB, b.source);
    a.device.startHandshake(peer, link.now);
    expect(a.device.drops.counts).toEqual({ "no-keypair": 1, "keypair-expired": 1, "unknown-index": 1 });
    expectNoLeaks(a, b);
  });

  test("removing a peer with staged packets drops them; a closed device is empty", () => {
    const { link, a, b } = joinedPair(crypto);
    a.send(ipv6Packet(1, 2, 10));
    const peer = a.peer(b);
    a.device.close(link.now);
    expect(peer.staged.length).toBe(0);
    expect([...a.device.peers]).toEqual([]);
    expect(a.device.drops.counts).toEqual({ "no-keypair": 1 });
    link.run(200_000);
    expect(link.sent.length).toBe(2); // its initiation and the answer
    expectNoLeaks(a, b);
  });

  test("a callback may remove the peer it concerns", () => {
    const { link, a, b } = joinedPair(crypto);
    b.onPacket = () => b.device.removePeer(a.key, link.now);
    for (let i = 0; i < 5; i++) a.send(ipv6Packet(1, 2, 10));
    link.run(100);
    expect(packetsOf(b).length).toBe(1);
    expect(b.device.drops.counts).toEqual({ "keypair-expired": 4 });
    expectNoLeaks(a, b);
  });

  test("a thousand peers use one device", () => {
    const link = new WireguardLink(crypto);
    const hub = link.addHost("hub", { underLoadInitiationsPerSecond: 10_000 });
    const clients: WireguardHost[] = [];
    const count = 1000;
    for (let n = 1; n <= count; n++) {
      const client = link.addHost(`client ${n}`, { slots: 12 });
      clients.push(client);
      hub.device.addPeer({ publicKey: client.key, allowedIPs: prefixesOf(n + 100) }, link.now);
      client.device.addPeer({ publicKey: hub.key, allowedIPs: prefixesOf(1) }, link.now);
    }
    for (let round = 0; round < count; round += 100) {
      for (let n = round + 1; n <= round + 100; n++) clients[n - 1]!.send(ipv6Packet(n + 100, 1, 20));
      link.run(50);
    }
    expect(hub.delivered.length).toBe(count);
    for (let n = 1; n <= count; n += 97) hub.send(ipv6Packet(1, n + 100, 20));
    link.run(50);
    for (let n = 1; n <= count; n += 97) expect(packetsOf(clients[n - 1]!)).toEqual([ipv6Packet(1, n + 100, 20)]);
    expect(hub.events.length).toBe(count);
    expect(hub.device.drops.counts).toEqual({});
    for (const client of clients) hub.device.removePeer(client.key, link.now);
    expect(hub.device.nextTimeout()).toBeUndefined();
    expectNoLeaks(hub);
  });
});

describe("pre-shared keys", () => {
  const psk = new Uint8Array(32).fill(7);

  test("a shared key works", () => {
    const { link, a, b } = joinedPair(crypto, { peer: { presharedKey: psk } });
    a.send(ipv6Packet(1, 2, 10));
    link.run(100);
    expect(packetsOf(b).length).toBe(1);
  });

  test("different keys give no session until they are made equal", () => {
    const { link, a, b } = joinedPair(crypto, { peer: { presharedKey: psk } });
    b.device.addPeer({ publicKey: a.key, allowedIPs: prefixesOf(1) }, link.now);
    a.send(ipv6Packet(1, 2, 10));
    link.run(100);
    expect(a.device.drops.counts).toEqual({ "handshake-failed": 1 });
    expect(a.peer(b).hasSession(link.now)).toBe(false);
    expect([a.events, b.events, packetsOf(b)]).toEqual([[], [], []]);
    a.device.addPeer({ publicKey: b.key, allowedIPs: prefixesOf(2) }, link.now);
    link.run(6_000);
    expect(packetsOf(b).length).toBe(1);
  });
});
