import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes, hexEncode, utf8 } from "../base/bytes.ts";
import { addMs, instant } from "../base/instant.ts";
import type { RandomSource } from "../base/ports.ts";
import { nodeCryptoSuite as crypto } from "../io/host/crypto-suite.ts";
import { type RawLine, type VirtualClient, VirtualRelay } from "../testing/virtual-relay.ts";
import { FrameType, frame, MAX_FRAME_BYTES, MAX_PACKET_BYTES, writeHeader } from "./frame.ts";
import { CLIENT_INFO_MAX_BYTES, clientInfoFrame } from "./handshake.ts";
import type { RelayOptions } from "./relay-types.ts";

/** A deterministic source for tests. */
function seeded(seed: number): RandomSource {
  let state = seed >>> 0;
  const uint32 = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
  return { uint32, bytes: (length) => Uint8Array.from({ length }, () => uint32() >>> 24) };
}

/** Bytes in use after a full collection. */
function memoryBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const privateKeys = Array.from({ length: 8 }, (_, i) => new Uint8Array(32).fill(i + 1));
const publicKeys = privateKeys.map((key) => crypto.publicKey(key));
const [alice, bob, carol] = publicKeys.map(hexEncode) as [string, string, string];
const meshKey = "a mesh key of some length";

function newRelay(options: Partial<RelayOptions> = {}): VirtualRelay {
  return new VirtualRelay(crypto, seeded(7), options);
}

function connect(net: VirtualRelay, who: number, options: Parameters<VirtualRelay["connect"]>[1] = {}): VirtualClient {
  const client = net.connect(privateKeys[who]!, options);
  net.pump();
  return client;
}

/** A connection that finished its handshake and then writes frames by hand. */
function connectByHand(net: VirtualRelay, who: number): RawLine {
  const line = net.connectRaw();
  net.pump();
  const boxKey = crypto.boxKey(privateKeys[who]!, net.relay.publicKey)!;
  const info = { version: 2, canAckPings: true, isProber: false };
  line.write(clientInfoFrame(crypto, publicKeys[who]!, boxKey, new Uint8Array(24), info));
  net.pump();
  return line;
}

function header(type: number, length: number): Uint8Array {
  const bytes = new Uint8Array(5);
  writeHeader(bytes, 0, type, length);
  return bytes;
}

const disco = (n: number): Uint8Array =>
  Uint8Array.from([0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac, ...new Array(56).fill(n)]);
const data = (n: number, length = 100): Uint8Array => new Uint8Array(length).fill(n);

describe("two clients of a relay", () => {
  it("exchange packets, each seeing the other's key", () => {
    const net = newRelay();
    const a = connect(net, 0);
    const b = connect(net, 1);
    expect([a.ready, b.ready]).toEqual([true, true]);
    a.send(b.publicKey, utf8("hello"), net.now);
    b.send(a.publicKey, utf8("world"), net.now);
    net.pump();
    expect(b.received).toEqual([{ source: alice, bytes: utf8("hello") }]);
    expect(a.received).toEqual([{ source: bob, bytes: utf8("world") }]);
    expect(net.relay.metrics).toMatchObject({ clients: 2, packetsReceived: 2, packetsSent: 2, drops: {} });
  });

  it("may send before the handshake is over: the packets go out behind ClientInfo as one chunk", () => {
    const net = newRelay();
    const b = connect(net, 1);
    const a = net.connect(privateKeys[0]!);
    for (let i = 0; i < 10; i++) a.send(b.publicKey, data(i), net.now);
    expect(a.client.takeOutput()).toBeUndefined();
    net.pump();
    expect(b.received.map(({ bytes }) => bytes[0])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("skips the server key when the client knew it", () => {
    const net = newRelay();
    const a = net.connect(privateKeys[0]!, { serverKey: net.relay.publicKey });
    expect(a.client.takeOutput()?.[0]).toBe(FrameType.clientInfo);
    const again = net.connect(privateKeys[1]!, { serverKey: net.relay.publicKey });
    net.pump();
    expect([again.ready, again.closed]).toEqual([true, undefined]);
  });

  it("carries the longest packet, and refuses a longer one before it is sent", () => {
    const net = newRelay();
    const a = connect(net, 0);
    const b = connect(net, 1);
    expect(a.send(b.publicKey, data(9, MAX_PACKET_BYTES), net.now)).toBe(true);
    expect(a.send(b.publicKey, data(9, MAX_PACKET_BYTES + 1), net.now)).toBe(false);
    net.pump();
    expect(b.received.map(({ bytes }) => bytes.length)).toEqual([MAX_PACKET_BYTES]);
    expect(a.client.counts.droppedTooLong).toBe(1);
  });

  it("bounds what the client queues, and counts what it drops", () => {
    const net = newRelay();
    const b = connect(net, 1);
    const a = connect(net, 0, { maxQueuedBytes: 1000 });
    const sent = Array.from({ length: 20 }, () => a.send(b.publicKey, data(1), net.now)).filter(Boolean).length;
    expect(sent).toBe(7);
    expect(a.client.counts.droppedQueueFull).toBe(13);
    net.pump();
    expect(b.received).toHaveLength(7);
  });

  it("ping and pong measure the round trip, and at most one pong waits", () => {
    const net = newRelay();
    const a = connect(net, 0);
    a.client.ping(net.now);
    net.pump();
    expect(a.pongsMs).toEqual([0]);
    const raw = connectByHand(net, 1);
    raw.reading = false;
    for (let i = 0; i < 50; i++) raw.write(frame(FrameType.ping, data(i, 8)));
    net.pump();
    raw.reading = true;
    net.pump();
    expect(raw.types.filter((type) => type === FrameType.pong)).toHaveLength(1);
    expect(raw.frames.at(-1)?.payload).toEqual(data(0, 8));
  });

  it("counts homes", () => {
    const net = newRelay();
    const a = connect(net, 0);
    a.client.notePreferred(true);
    net.pump();
    expect(net.relay.metrics.homeClients).toBe(1);
    a.client.notePreferred(false);
    net.pump();
    expect(net.relay.metrics.homeClients).toBe(0);
    a.client.notePreferred(true);
    net.pump();
    net.disconnect(a);
    expect(net.relay.metrics).toMatchObject({ homeClients: 0, clients: 0, connections: 0 });
  });
});

describe("time", () => {
  it("keeps an idle connection alive for hours and sends one keepalive per 45 to 50 s, before the usual proxy gives it up", () => {
    const net = newRelay();
    const a = connect(net, 0);
    const raw = connectByHand(net, 1);
    net.advance(3_600_000);
    expect([a.open, a.closed]).toEqual([true, undefined]);
    const keepAlives = raw.types.filter((type) => type === FrameType.keepAlive).length;
    expect(keepAlives).toBeGreaterThanOrEqual(71);
    expect(keepAlives).toBeLessThanOrEqual(80);
  });

  it("security 40: closes a connection that has not identified itself after 10 s, and no other", () => {
    const net = newRelay();
    const known = connect(net, 0);
    const silent = net.connectRaw();
    net.advance(9_999);
    expect(silent.open).toBe(true);
    net.advance(1);
    expect(silent.refusal).toBe("handshake-timeout");
    expect(known.open).toBe(true);
  });

  it("lets the client give up after 120 s without a frame, and after 10 s without a handshake", () => {
    const net = newRelay();
    const a = connect(net, 0);
    a.reading = false;
    net.advance(119_999);
    expect(a.closed).toBeUndefined();
    net.advance(1);
    expect(a.closed).toBe("read-timeout");
    const b = net.connect(privateKeys[1]!);
    b.reading = false;
    net.advance(10_000);
    expect(b.closed).toBe("handshake-timeout");
  });

  it("closes on an unanswered ping only when requested", () => {
    const net = newRelay();
    const a = connect(net, 0);
    a.reading = false;
    a.client.ping(net.now);
    net.advance(6_000);
    expect(a.closed).toBeUndefined();
    a.client.ping(net.now, 3_000);
    net.advance(2_999);
    expect(a.closed).toBeUndefined();
    net.advance(1);
    expect(a.closed).toBe("ping-timeout");
  });

  it("closes by the first deadline, however often it is requested", () => {
    const net = newRelay();
    const a = connect(net, 0);
    a.reading = false;
    a.client.ping(net.now, 3_000);
    for (let asked = 0; asked < 5; asked++) {
      net.advance(500);
      a.client.ping(net.now, 3_000);
    }
    net.advance(499);
    expect(a.closed).toBeUndefined();
    net.advance(1);
    expect(a.closed).toBe("ping-timeout");
  });

  it("announces a restart and accepts no connection afterwards", () => {
    const net = newRelay();
    const a = connect(net, 0);
    net.relay.shutdown(2_500, 60_000);
    net.pump();
    expect(a.restarting).toEqual([[2_500, 60_000]]);
    const late = net.connectRaw();
    net.pump();
    expect(late.refusal).toBe("shutdown");
  });
});

describe("frame limits", () => {
  const key = publicKeys[1]!;
  it.each([
    ["security 19: a packet of 64 KiB + 1", header(FrameType.sendPacket, 32 + MAX_PACKET_BYTES + 1), "frame-too-long"],
    ["a packet without a whole key", header(FrameType.sendPacket, 31), "malformed-frame"],
    ["an unknown frame above 1 MiB", header(0x66, MAX_FRAME_BYTES + 1), "frame-too-long"],
    ["NotePreferred with 2 bytes", header(FrameType.notePreferred, 2), "malformed-frame"],
    ["NotePreferred with 0 bytes", header(FrameType.notePreferred, 0), "malformed-frame"],
    ["a ping of 7 bytes", header(FrameType.ping, 7), "malformed-frame"],
    ["a ping of 1001 bytes", header(FrameType.ping, 1001), "malformed-frame"],
    ["security 21: WatchConns from an ordinary client", header(FrameType.watchConns, 0), "not-a-mesh-member"],
    ["security 21: ClosePeer from an ordinary client", frame(FrameType.closePeer, key), "not-a-mesh-member"],
    ["security 21: ForwardPacket from an ordinary client", header(FrameType.forwardPacket, 80), "not-a-mesh-member"],
  ])("%s closes the connection on its header alone", (_name, bytes, reason) => {
    const net = newRelay({ meshKey });
    const bystander = connect(net, 1);
    const raw = connectByHand(net, 0);
    raw.write(bytes);
    net.pump();
    expect(raw.refusal).toBe(reason);
    expect(bystander.open).toBe(true);
    expect(bystander.received).toEqual([]);
  });

  it.each([
    ["no ClientInfo but a packet", frame(FrameType.sendPacket, key, data(1))],
    ["a ClientInfo of 55 bytes", header(FrameType.clientInfo, 55)],
    ["a ClientInfo above 256 KiB", header(FrameType.clientInfo, CLIENT_INFO_MAX_BYTES + 1)],
    ["a ClientInfo that does not open", frame(FrameType.clientInfo, key, new Uint8Array(60))],
    ["a ClientInfo with an all-zero key", frame(FrameType.clientInfo, new Uint8Array(92))],
  ])("%s as the first frame closes the connection", (_name, bytes) => {
    const net = newRelay();
    const raw = net.connectRaw();
    raw.write(bytes);
    net.pump();
    expect(raw.refusal).toBe("bad-client-info");
  });

  it("skips unknown frames of up to 1 MiB and stays connected", () => {
    const net = newRelay();
    const b = connect(net, 1);
    const raw = connectByHand(net, 0);
    raw.write(frame(0x66, new Uint8Array(MAX_FRAME_BYTES)));
    raw.write(frame(FrameType.pong, new Uint8Array(8)));
    raw.write(frame(FrameType.sendPacket, b.publicKey, utf8("still here")));
    net.pump();
    expect(b.received.map(({ bytes }) => bytes)).toEqual([utf8("still here")]);
    expect(net.relay.metrics.unknownFrames).toBe(1);
  });

  it.each([
    ["above 1 MiB", header(FrameType.health, MAX_FRAME_BYTES + 1), "frame-too-long"],
    ["of a packet above 64 KiB", header(FrameType.recvPacket, 32 + MAX_PACKET_BYTES + 1), "frame-too-long"],
    ["of a packet without a key", header(FrameType.recvPacket, 31), "malformed-frame"],
    ["of a short PeerGone", header(FrameType.peerGone, 31), "malformed-frame"],
    ["of a short Restarting", header(FrameType.restarting, 7), "malformed-frame"],
  ])("the client gives up on a frame %s", (_name, bytes, reason) => {
    const net = newRelay();
    const a = connect(net, 0);
    a.client.handleBytes(bytes, net.now);
    expect(a.closed).toBe(reason);
  });

  it("the client gives up on a server that does not begin with a server key", () => {
    const net = newRelay();
    for (const bytes of [
      frame(FrameType.keepAlive),
      frame(FrameType.serverKey, new Uint8Array(40)),
      utf8("HTTP/1.1 200 OK\r\n"),
    ]) {
      const a = net.connect(privateKeys[0]!);
      a.client.handleBytes(bytes, net.now);
      expect(a.closed).toBe("not-a-relay");
    }
  });

  it("the client gives up on server info that the server's key did not seal", () => {
    const net = newRelay();
    const a = net.connect(privateKeys[0]!, { serverKey: publicKeys[5]! });
    a.client.handleBytes(frame(FrameType.serverInfo, new Uint8Array(60)), net.now);
    expect(a.closed).toBe("bad-server-info");
  });
});

describe("access to the relay", () => {
  it("security 17: a key that becomes known while its connection is held is admitted; nothing it sent before is relayed", () => {
    let known = false;
    const net = newRelay({ admit: (key) => hexEncode(key) !== carol || known, holdUnknown: true });
    const b = connect(net, 1);
    const late = net.connect(privateKeys[2]!);
    for (let i = 0; i < 5; i++) late.send(b.publicKey, data(i), net.now);
    net.pump();
    expect(late.ready).toBe(false);
    expect(net.relay.isConnected(late.publicKey)).toBe(false);
    net.relay.admitHeld(b.publicKey, net.now);
    net.pump();
    expect(late.ready).toBe(false);
    known = true;
    net.relay.admitHeld(late.publicKey, net.now);
    net.pump();
    expect(late.ready).toBe(true);
    expect(b.received).toEqual([]);
    late.send(b.publicKey, data(9), net.now);
    net.pump();
    expect(b.received.length).toBe(1);
  });

  it("security 17: several connections held with one key, as far as they remain, are admitted together", () => {
    let known = false;
    const net = newRelay({ admit: () => known, holdUnknown: true });
    const [first, gone, second] = [1, 1, 1].map((who) => net.connect(privateKeys[who]!));
    const other = net.connect(privateKeys[2]!);
    net.pump();
    net.relay.connectionClosed(gone!.id, net.now);
    known = true;
    net.relay.admitHeld(first!.publicKey, net.now);
    net.pump();
    expect([first!.ready, second!.ready, gone!.ready, other.ready]).toEqual([true, true, false, false]);
    expect(net.relay.metrics.clients).toBe(2);
  });

  it("beyond the connections that one key may have, the one that was silent longest is closed", () => {
    const net = newRelay({ limits: { connectionsPerKey: 3 } });
    const b = connect(net, 1);
    const same = Array.from({ length: 3 }, () => connect(net, 0));
    same[0]!.send(b.publicKey, data(1), net.now);
    net.pump();
    const newest = connect(net, 0);
    expect(same.map(({ refusal }) => refusal)).toEqual([undefined, "too-many-with-key", undefined]);
    expect(newest.ready).toBe(true);
    expect(net.relay.metrics).toMatchObject({ clients: 4, connections: 4, closes: { "too-many-with-key": 1 } });
  });

  it("security 17: a key that stays unknown is closed at the handshake deadline", () => {
    const net = newRelay({ admit: () => false, holdUnknown: true });
    const stranger = net.connect(privateKeys[2]!);
    net.pump();
    expect(stranger.refusal).toBeUndefined();
    net.advance(10_000);
    expect(stranger.refusal).toBe("not-admitted");
    net.relay.admitHeld(stranger.publicKey, net.now);
    net.pump();
    expect(stranger.ready).toBe(false);
  });

  it("security 17: an unknown key is closed before any of its frames is relayed", () => {
    const asked: string[] = [];
    const net = newRelay({
      admit: (key) => {
        asked.push(hexEncode(key));
        return hexEncode(key) !== carol;
      },
    });
    const b = connect(net, 1);
    const stranger = net.connect(privateKeys[2]!);
    for (let i = 0; i < 5; i++) stranger.send(b.publicKey, data(i), net.now);
    net.pump();
    expect(stranger.refusal).toBe("not-admitted");
    expect(asked).toEqual([bob, carol]);
    expect(b.received).toEqual([]);
    expect(net.relay.metrics.packetsReceived).toBe(0);
    expect(net.relay.isConnected(stranger.publicKey)).toBe(false);
  });

  it("revoke closes every connection of a key and no other", () => {
    const net = newRelay();
    const first = connect(net, 0);
    const second = connect(net, 0);
    const b = connect(net, 1);
    expect(net.relay.revoke(publicKeys[0]!, net.now)).toBe(2);
    net.pump();
    expect([first.refusal, second.refusal, b.refusal]).toEqual(["revoked", "revoked", undefined]);
    expect(net.relay.revoke(publicKeys[0]!, net.now)).toBe(0);
  });

  it("security 18: the source key is the proven one, whatever key a client writes", () => {
    const net = newRelay();
    const b = connect(net, 1);
    const raw = connectByHand(net, 2);
    raw.write(frame(FrameType.sendPacket, b.publicKey, publicKeys[0]!, utf8("i am alice")));
    raw.write(frame(FrameType.recvPacket, publicKeys[0]!, utf8("i am alice")));
    net.pump();
    expect(b.received.map(({ source }) => source)).toEqual([carol]);
  });

  it("security 3, R6: only the right mesh key gives mesh rights", () => {
    const net = newRelay({ meshKey });
    for (const [given, allowed] of [
      [meshKey, true],
      [`${meshKey}x`, false],
      [meshKey.slice(1), false],
      ["", false],
    ] as const) {
      const client = connect(net, 3, { meshKey: given });
      client.client.watchConnections();
      net.pump();
      expect(client.refusal).toBe(allowed ? undefined : "not-a-mesh-member");
      net.disconnect(client);
    }
    const without = newRelay();
    const client = connect(without, 3, { meshKey: "" });
    client.client.watchConnections();
    without.pump();
    expect(client.refusal).toBe("not-a-mesh-member");
  });
});

describe("security 18: one key, several connections", () => {
  /** Which of alice's three connections gets bob's packets, after some events. */
  it.each([
    ["the last to connect", [], 2],
    ["the last to send", ["send 0"], 0],
    ["the last to send any frame", ["send 0", "ping 1"], 1],
    ["the next most recent when the active one leaves", ["send 0", "send 1", "leave 1"], 0],
    ["the same one when an inactive one leaves", ["send 0", "leave 2"], 0],
    ["the only one that is left", ["leave 2", "leave 0"], 1],
  ] as const)("%s is active", (_name, events, active) => {
    const net = newRelay();
    const b = connect(net, 1);
    const lines = [connect(net, 0), connect(net, 0), connect(net, 0)];
    expect(net.relay.metrics.duplicateKeys).toBe(1);
    for (const event of events) {
      const [what, index] = event.split(" ");
      const line = lines[Number(index)]!;
      if (what === "send") line.send(b.publicKey, data(1), net.now);
      else if (what === "ping") line.client.ping(net.now);
      else net.disconnect(line);
      net.pump();
    }
    b.send(publicKeys[0]!, utf8("which?"), net.now);
    net.pump();
    expect(lines.map(({ received }) => received.length)).toEqual([0, 1, 2].map((i) => (i === active ? 1 : 0)));
  });

  it("is counted, and peers are notified only when the last one leaves", () => {
    const net = newRelay();
    const b = connect(net, 1);
    const first = connect(net, 0);
    const second = connect(net, 0);
    second.send(b.publicKey, data(1), net.now);
    net.pump();
    net.disconnect(second);
    expect(net.relay.metrics.duplicateKeys).toBe(0);
    expect(b.gone).toEqual([]);
    net.disconnect(first);
    expect(b.gone).toEqual([{ key: alice, reason: 0 }]);
  });
});

describe("departed or unknown peers", () => {
  it("notifies of a departure, once, exactly the peers that the client had sent to", () => {
    const net = newRelay();
    const [a, b, c, d] = [0, 1, 2, 3].map((who) => connect(net, who)) as [
      VirtualClient,
      VirtualClient,
      VirtualClient,
      VirtualClient,
    ];
    a.send(b.publicKey, data(1), net.now);
    a.send(b.publicKey, data(2), net.now);
    a.send(c.publicKey, data(3), net.now);
    d.send(a.publicKey, data(4), net.now);
    net.pump();
    net.disconnect(a);
    expect([b.gone, c.gone, d.gone]).toEqual([[{ key: alice, reason: 0 }], [{ key: alice, reason: 0 }], []]);
  });

  it("forgets packets sent before the receiver reconnected", () => {
    const net = newRelay();
    const a = connect(net, 0);
    const b = connect(net, 1);
    a.send(b.publicKey, data(1), net.now);
    net.pump();
    net.disconnect(b);
    const again = connect(net, 1);
    net.disconnect(a);
    expect(again.gone).toEqual([]);
  });

  it("answers disco to an unknown key with reason 1, three times at once and then once per second", () => {
    const net = newRelay();
    const a = connect(net, 0);
    const sendDisco = (count: number): void => {
      for (let i = 0; i < count; i++) a.send(publicKeys[5]!, disco(i), net.now);
      net.pump();
    };
    sendDisco(10);
    expect(a.gone).toEqual(new Array(3).fill({ key: hexEncode(publicKeys[5]!), reason: 1 }));
    net.advance(1_000);
    sendDisco(10);
    expect(a.gone).toHaveLength(4);
    expect(net.relay.metrics.drops["unknown-destination"]).toBe(20);
  });

  it("drops data to an unknown key silently", () => {
    const net = newRelay();
    const a = connect(net, 0);
    a.send(publicKeys[5]!, data(1), net.now);
    net.pump();
    expect(a.gone).toEqual([]);
    expect(net.relay.metrics.drops).toEqual({ "unknown-destination": 1 });
  });
});

describe("a reader that does not read", () => {
  it("security 19: loses its oldest packets, while others get theirs in the same turn", () => {
    const net = newRelay({ limits: { dataPackets: 512 } });
    const a = connect(net, 0);
    const slow = connect(net, 1);
    const quick = connect(net, 2);
    slow.reading = false;
    for (let i = 0; i < 600; i++) {
      a.send(slow.publicKey, Uint8Array.of(i >> 8, i & 255), net.now);
      if (i % 100 === 0) a.send(quick.publicKey, Uint8Array.of(i >> 8, i & 255), net.now);
    }
    net.pump();
    expect(quick.received).toHaveLength(6);
    expect(slow.received).toHaveLength(0);
    slow.reading = true;
    net.pump();
    const numbers = slow.received.map(({ bytes }) => (bytes[0]! << 8) | bytes[1]!);
    expect(numbers).toEqual(Array.from({ length: 512 }, (_, i) => i + 88));
    expect(net.relay.metrics.drops).toEqual({ "queue-head": 88 });
  });

  it("holds a bounded number of bytes however much is sent", () => {
    const net = newRelay();
    const a = connect(net, 0);
    const slow = connect(net, 1);
    slow.reading = false;
    for (let i = 0; i < 100; i++) {
      a.send(slow.publicKey, data(i, MAX_PACKET_BYTES), net.now);
      net.pump();
    }
    expect(net.relay.queuedBytes(slow.id)).toBeLessThanOrEqual(1 << 20);
    expect(net.relay.queuedBytes(slow.id)).toBeGreaterThan(900_000);
  });

  it("keeps disco apart from data: a flood of data does not displace path negotiation", () => {
    const net = newRelay();
    const a = connect(net, 0);
    const slow = connect(net, 1);
    slow.reading = false;
    a.send(slow.publicKey, disco(1), net.now);
    for (let i = 0; i < 2_000; i++) a.send(slow.publicKey, data(2), net.now);
    net.pump();
    slow.reading = true;
    net.pump();
    expect(slow.received.filter(({ bytes }) => bytes.length === 62)).toHaveLength(1);
  });

  it("gets control frames only up to a bound", () => {
    const net = newRelay();
    const raw = connectByHand(net, 0);
    raw.reading = false;
    for (let i = 0; i < 100; i++) {
      for (let n = 0; n < 10; n++) raw.write(frame(FrameType.sendPacket, publicKeys[5]!, disco(n)));
      net.advance(10_000);
    }
    expect(net.relay.queuedBytes(raw.id)).toBeLessThanOrEqual(16 * 1024);
  });

  it("counts what was lost when the connection ends", () => {
    const net = newRelay();
    const a = connect(net, 0);
    const slow = connect(net, 1);
    slow.reading = false;
    for (let i = 0; i < 5; i++) a.send(slow.publicKey, data(i), net.now);
    net.pump();
    net.disconnect(slow);
    expect(net.relay.metrics.drops).toEqual({ "connection-closed": 5 });
  });
});

describe("security 20: a client above its rate", () => {
  it("leaves an honest client at least 90 % of its packets on a shared receiver, at ten times the rate", () => {
    const net = newRelay({ limits: { bytesPerSecond: 100_000, bytesBurst: 20_000, dataPackets: 64 } });
    const honest = connect(net, 0);
    const shared = connect(net, 1);
    const flooder = connectByHand(net, 2);
    let sent = 0;
    for (let ms = 0; ms < 5_000; ms += 10) {
      net.now = addMs(net.now, 10);
      if (ms % 20 === 0 && honest.send(shared.publicKey, data(1, 1000), net.now)) sent++;
      for (let i = 0; i < 10; i++) flooder.write(frame(FrameType.sendPacket, shared.publicKey, data(2, 1000)));
      net.pump();
    }
    const fromHonest = shared.received.filter(({ source }) => source === alice).length;
    const fromFlooder = shared.received.filter(({ source }) => source === carol).length;
    expect(sent).toBe(250);
    expect(fromHonest / sent).toBeGreaterThanOrEqual(0.9);
    expect(fromFlooder * 1037).toBeLessThanOrEqual(100_000 * 5 + 2 * 20_000);
    expect(net.relay.metrics.drops["rate-limited"]).toBe(5_000 - fromFlooder);
  });

  it("receives the rate, and our client keeps to it", () => {
    const net = newRelay({ limits: { bytesPerSecond: 10_000, bytesBurst: 2_000 } });
    const a = connect(net, 0);
    const b = connect(net, 1);
    const accepted = Array.from({ length: 10 }, () => a.send(b.publicKey, data(1, 463), net.now)).filter(
      Boolean,
    ).length;
    expect(accepted).toBe(4);
    net.now = addMs(net.now, 50);
    expect(a.send(b.publicKey, data(1, 463), net.now)).toBe(true);
    expect(a.send(b.publicKey, data(1, 463), net.now)).toBe(false);
    net.pump();
    expect(b.received).toHaveLength(5);
    expect(net.relay.metrics.drops).toEqual({});
  });
});

describe("mesh", () => {
  it("notifies members of connects and disconnects", () => {
    const net = newRelay({ meshKey });
    const a = connect(net, 0);
    const member = connect(net, 3, { meshKey });
    member.client.watchConnections();
    net.pump();
    expect(new Set(member.present)).toEqual(new Set([alice, hexEncode(member.publicKey)]));
    connect(net, 1);
    expect(member.present).toContain(bob);
    net.disconnect(a);
    expect(member.gone).toEqual([{ key: alice, reason: 0 }]);
  });

  it("members may close a peer", () => {
    const net = newRelay({ meshKey });
    const a = connect(net, 0);
    const member = connect(net, 3, { meshKey });
    member.client.closePeer(a.publicKey);
    net.pump();
    expect(a.refusal).toBe("closed-by-mesh");
  });

  it("exempts members from admit, so that a relay need not know the keys of its siblings", () => {
    const net = newRelay({ meshKey, admit: () => false });
    expect(connect(net, 3, { meshKey }).ready).toBe(true);
    expect(connect(net, 4, { meshKey: "wrong" }).refusal).toBe("not-admitted");
  });

  it("carries packets between clients of two relays, with the original source", () => {
    const left = newRelay({ meshKey });
    const right = newRelay({ meshKey });
    const a = connect(left, 0);
    const b = connect(right, 1);
    // The left relay is a member at the right one, and the reverse.
    const atRight = connect(right, 6, { meshKey });
    const forwarder = {
      forwardPacket: (source: Uint8Array, to: Uint8Array, bytes: Uint8Array, offset: number, length: number): void => {
        atRight.client.forwardPacket(source, to, bytes, offset, length);
      },
    };
    left.relay.addForwarder(b.publicKey, forwarder);
    a.send(b.publicKey, utf8("across"), left.now);
    left.pump();
    right.pump();
    expect(b.received).toEqual([{ source: alice, bytes: utf8("across") }]);
    left.relay.removeForwarder(b.publicKey, forwarder);
    a.send(b.publicKey, disco(1), left.now);
    left.pump();
    expect(a.gone).toEqual([{ key: bob, reason: 1 }]);
    expect(left.relay.metrics.packetsForwardedOut).toBe(1);
    expect(right.relay.metrics.packetsForwardedIn).toBe(1);
  });

  it("prefers a local client, then the forwarder registered first, and never forwards a forwarded packet", () => {
    const net = newRelay({ meshKey });
    const used: number[] = [];
    const forwarder = (n: number) => ({ forwardPacket: () => used.push(n) });
    const [first, second] = [forwarder(1), forwarder(2)];
    net.relay.addForwarder(publicKeys[1]!, first);
    net.relay.addForwarder(publicKeys[1]!, second);
    const a = connect(net, 0);
    const send = (): void => {
      a.send(publicKeys[1]!, data(1), net.now);
      net.pump();
    };
    send();
    const b = connect(net, 1);
    send();
    net.disconnect(b);
    send();
    net.relay.removeForwarder(publicKeys[1]!, first);
    send();
    expect(used).toEqual([1, 1, 2]);
    expect(b.received).toHaveLength(1);
    const member = connect(net, 3, { meshKey });
    member.client.forwardPacket(publicKeys[0]!, publicKeys[1]!, data(1), 0, 100);
    net.pump();
    expect(used).toEqual([1, 1, 2]);
    expect(net.relay.metrics.drops).toEqual({ "unknown-destination": 1 });
  });

  it("makes a member that does not read start over, so that it misses no change", () => {
    const net = newRelay({ meshKey, limits: { meshControlBytes: 200 } });
    const member = connect(net, 3, { meshKey });
    member.client.watchConnections();
    net.pump();
    member.reading = false;
    for (let who = 0; who < 3; who++) {
      for (let i = 0; i < 3; i++) net.disconnect(connect(net, who));
    }
    expect(member.refusal).toBe("mesh-overflow");
  });
});

describe("security 42: hostile bytes", () => {
  it("never throw out of the relay, and do not affect other clients", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 120 }), { maxLength: 12 }), fc.boolean(), (chunks, known) => {
        const net = newRelay();
        const a = connect(net, 0);
        const b = connect(net, 1);
        const raw = known ? connectByHand(net, 2) : net.connectRaw();
        for (const chunk of chunks) raw.write(chunk);
        a.send(b.publicKey, utf8("unharmed"), net.now);
        net.pump();
        expect(b.received.at(-1)).toEqual({ source: alice, bytes: utf8("unharmed") });
      }),
      { numRuns: 60 },
    );
  });

  it("never throw out of the relay when they have the shape of frames", () => {
    const someFrame = fc
      .tuple(fc.integer({ min: 0, max: 0x16 }), fc.uint8Array({ maxLength: 80 }))
      .map(([type, payload]) => frame(type, payload));
    fc.assert(
      fc.property(fc.array(someFrame, { maxLength: 30 }), fc.boolean(), (frames, member) => {
        const net = newRelay({ meshKey });
        const b = connect(net, 1);
        const line = member ? connect(net, 2, { meshKey }) : connectByHand(net, 2);
        net.relay.handleBytes(line.id, concatBytes(...frames), net.now);
        net.pump();
        net.advance(70_000);
        expect(b.closed).toBeUndefined();
      }),
      { numRuns: 60 },
    );
  });

  it("never throw out of the client", () => {
    const someFrame = fc
      .tuple(fc.integer({ min: 0, max: 0x16 }), fc.uint8Array({ maxLength: 80 }))
      .map(([type, payload]) => frame(type, payload));
    const net = newRelay();
    fc.assert(
      fc.property(fc.array(fc.oneof(someFrame, fc.uint8Array({ maxLength: 60 })), { maxLength: 20 }), (chunks) => {
        const a = connect(net, 0);
        for (const chunk of chunks) a.client.handleBytes(chunk, net.now);
        a.client.handleTimeout(addMs(net.now, 1_000_000));
        expect(a.closed).toBeDefined();
        net.disconnect(a);
      }),
      { numRuns: 60 },
    );
  });
});

describe("the shell's side of the contract", () => {
  it("ignores bytes and closes of unknown connections, and refuses to add an id twice", () => {
    const net = newRelay();
    net.relay.handleBytes(99, data(1), net.now);
    net.relay.connectionClosed(99, net.now);
    expect(net.relay.takeOutput(99, 1000)).toBeUndefined();
    net.relay.addConnection(5, instant(0));
    expect(() => net.relay.addConnection(5, instant(0))).toThrow(RangeError);
  });

  it("holds at most 16 KiB per idle client", () => {
    const count = 500;
    const relay = newRelay().relay;
    const greetings = Array.from({ length: count }, (_, i) => {
      const key = new Uint8Array(32)
        .fill(1)
        .with(0, i & 255)
        .with(1, i >> 8);
      const boxKey = crypto.boxKey(key, relay.publicKey)!;
      const info = { version: 2, canAckPings: true, isProber: false };
      return clientInfoFrame(crypto, crypto.publicKey(key), boxKey, new Uint8Array(24), info);
    });
    const before = memoryBytes();
    for (const [id, greeting] of greetings.entries()) {
      relay.addConnection(id, instant(0));
      relay.handleBytes(id, greeting.subarray(0, 50), instant(0));
      relay.handleBytes(id, greeting.subarray(50), instant(0));
      while (relay.takeOutput(id, 1 << 20) !== undefined);
    }
    const perClient = (memoryBytes() - before) / count;
    expect(relay.metrics.clients).toBe(count);
    expect(perClient).toBeLessThan(16 * 1024);
  });

  it("forgets everything about clients that left", () => {
    const net = newRelay();
    for (let round = 0; round < 20; round++) {
      const clients = [0, 1, 2, 3].map((who) => connect(net, who));
      for (const from of clients) for (const to of clients) from.send(to.publicKey, data(1), net.now);
      net.pump();
      for (const client of clients) net.disconnect(client);
    }
    expect(net.relay.metrics).toMatchObject({ connections: 0, clients: 0, duplicateKeys: 0, homeClients: 0 });
    expect(publicKeys.some((key) => net.relay.isConnected(key))).toBe(false);
  });
});
