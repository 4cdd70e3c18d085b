import { describe, expect, it } from "vitest";
import { addMs, instant } from "../base/instant.ts";
import { nodeCryptoSuite as crypto } from "../io/host/crypto-suite.ts";
import { LinkRandom } from "../testing/link.ts";
import {
  DerpClient,
  type DerpClientHandler,
  type DerpClientOptions,
  HANDSHAKE_TIMEOUT_MS,
  PING_TIMEOUT_MS,
  READ_TIMEOUT_MS,
} from "./client.ts";
import { FrameType, frame, HEADER_BYTES, KEY_BYTES, MAX_FRAME_BYTES, MAX_PACKET_BYTES } from "./frame.ts";
import { SERVER_KEY_MAX_BYTES, type ServerInfo, serverInfoFrame } from "./handshake.ts";

const privateKey = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
const publicKey = crypto.publicKey(privateKey);
const serverPrivate = Uint8Array.from({ length: 32 }, (_, i) => i + 129);
const serverPublic = crypto.publicKey(serverPrivate);
const boxKey = crypto.boxKey(serverPrivate, publicKey)!;
const nonce = new Uint8Array(24);
const KEY = new Uint8Array(KEY_BYTES).fill(7);
const OTHER = new Uint8Array(KEY_BYTES).fill(9);
const START = instant(50_000);
const MAGIC = Uint8Array.of(0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91);

const serverKeyFrame = (bytes = MAGIC.length + KEY_BYTES): Uint8Array => {
  const payload = new Uint8Array(bytes);
  payload.set(MAGIC);
  payload.set(serverPublic, MAGIC.length);
  return frame(FrameType.serverKey, payload);
};

/** A client whose handler records every callback. */
function open(options: Partial<DerpClientOptions> = {}) {
  const events: unknown[] = [];
  const handler: DerpClientHandler = {
    onReady: (info) => events.push(["ready", info.version]),
    onPacket: (key, _bytes, _offset, length) => events.push(["packet", key[0], length]),
    onPeerGone: (key, reason) => events.push(["gone", key[0], reason]),
    onPeerPresent: (key) => events.push(["present", key[0]]),
    onHealth: (text) => events.push(["health", text]),
    onRestarting: (inMs, forMs) => events.push(["restarting", inMs, forMs]),
    onPong: (rttMs) => events.push(["pong", rttMs]),
    onClosed: (reason) => events.push(["closed", reason]),
  };
  const client = new DerpClient(
    { privateKey, publicKey, crypto, random: new LinkRandom(3), handler, ...options },
    START,
  );
  return { client, events };
}

function ready(options: Partial<DerpClientOptions> = {}, info: ServerInfo = { version: 2 }) {
  const opened = open(options);
  opened.client.handleBytes(serverKeyFrame(), START);
  opened.client.takeOutput();
  opened.client.handleBytes(serverInfoFrame(crypto, boxKey, nonce, info), START);
  expect(opened.client.ready).toBe(true);
  opened.events.length = 0;
  return opened;
}

/** The frames of one chunk, by type and length. */
function framesOf(chunk: Uint8Array | undefined): [type: number, length: number][] {
  const found: [number, number][] = [];
  const view = new DataView(chunk?.buffer ?? new ArrayBuffer(0), chunk?.byteOffset, chunk?.length);
  for (let at = 0; at < view.byteLength; at += HEADER_BYTES + view.getUint32(at + 1))
    found.push([view.getUint8(at), view.getUint32(at + 1)]);
  return found;
}

describe("until the server has proved its key", () => {
  it.each([
    [MAGIC.length + KEY_BYTES, undefined],
    [SERVER_KEY_MAX_BYTES, undefined],
    [SERVER_KEY_MAX_BYTES + 1, "not-a-relay"],
    [MAGIC.length + KEY_BYTES - 1, "not-a-relay"],
  ])("a server key frame of %i bytes: %s", (bytes, reason) => {
    const { client, events } = open();
    const whole = serverKeyFrame(Math.max(bytes, MAGIC.length + KEY_BYTES));
    new DataView(whole.buffer, whole.byteOffset).setUint32(1, bytes);
    client.handleBytes(whole.subarray(0, HEADER_BYTES + bytes), START);
    expect(events).toEqual(reason === undefined ? [] : [["closed", reason]]);
    expect(client.serverKey).toEqual(reason === undefined ? serverPublic : undefined);
  });

  it("any other first frame does not come from a relay, and a packet before the server info is malformed", () => {
    const first = open();
    first.client.handleBytes(frame(FrameType.keepAlive), START);
    expect(first.events).toEqual([["closed", "not-a-relay"]]);
    const early = open();
    early.client.handleBytes(serverKeyFrame(), START);
    early.client.handleBytes(frame(FrameType.recvPacket, KEY), START);
    expect(early.events).toEqual([["closed", "malformed-frame"]]);
  });

  it("the greeting leaves before queued packets, in one chunk; with a known key it leaves at once", () => {
    const { client } = open();
    client.sendPacket(KEY, new Uint8Array(10), 0, 10, START);
    expect(client.takeOutput()).toBeUndefined();
    client.handleBytes(serverKeyFrame(), START);
    const types = framesOf(client.takeOutput()).map(([type]) => type);
    expect(types).toEqual([FrameType.clientInfo, FrameType.sendPacket]);
    const fast = open({ serverKey: serverPublic }).client;
    expect(framesOf(fast.takeOutput()).map(([type]) => type)).toEqual([FrameType.clientInfo]);
  });

  it("gives up at the handshake deadline, and not earlier", () => {
    const { client, events } = open();
    expect(client.nextTimeout()).toBe(addMs(START, HANDSHAKE_TIMEOUT_MS));
    client.handleTimeout(addMs(START, HANDSHAKE_TIMEOUT_MS - 1));
    expect(events).toEqual([]);
    client.handleTimeout(addMs(START, HANDSHAKE_TIMEOUT_MS));
    expect(events).toEqual([["closed", "handshake-timeout"]]);
    expect(client.nextTimeout()).toBeUndefined();
  });

  it("info under another key is refused", () => {
    const { client, events } = open();
    client.handleBytes(serverKeyFrame(), START);
    client.handleBytes(serverInfoFrame(crypto, OTHER, nonce, { version: 2 }), START);
    expect(events).toEqual([["closed", "bad-server-info"]]);
  });
});

describe("frames of the server", () => {
  it.each<[string, number, number, unknown]>([
    ["an empty packet", FrameType.recvPacket, KEY_BYTES, ["packet", 7, 0]],
    ["the longest packet", FrameType.recvPacket, KEY_BYTES + MAX_PACKET_BYTES, ["packet", 7, MAX_PACKET_BYTES]],
    ["a packet too long", FrameType.recvPacket, KEY_BYTES + MAX_PACKET_BYTES + 1, ["closed", "frame-too-long"]],
    ["half a key", FrameType.recvPacket, KEY_BYTES - 1, ["closed", "malformed-frame"]],
    ["who is gone", FrameType.peerGone, KEY_BYTES, ["gone", 7, 0]],
    ["who is gone, and why", FrameType.peerGone, KEY_BYTES + 1, ["gone", 7, 7]],
    ["half of who is gone", FrameType.peerGone, KEY_BYTES - 1, ["closed", "malformed-frame"]],
    ["who is there", FrameType.peerPresent, KEY_BYTES, ["present", 7]],
    ["half of who is there", FrameType.peerPresent, KEY_BYTES - 1, ["closed", "malformed-frame"]],
    ["half a ping", FrameType.ping, 7, ["closed", "malformed-frame"]],
    ["half a pong", FrameType.pong, 7, ["closed", "malformed-frame"]],
    ["a restart", FrameType.restarting, 8, ["restarting", 0x07070707, 0x07070707]],
    ["half a restart", FrameType.restarting, 7, ["closed", "malformed-frame"]],
    ["health", FrameType.health, 3, ["health", "\u0007\u0007\u0007"]],
    ["a long word on health, cut", FrameType.health, 5_000, ["health", "\u0007".repeat(4_096)]],
    ["more than any frame", FrameType.keepAlive, MAX_FRAME_BYTES + 1, ["closed", "frame-too-long"]],
  ])("%s", (_what, type, length, expected) => {
    const { client, events } = ready();
    client.handleBytes(frame(type, new Uint8Array(length).fill(7)), START);
    expect(events).toEqual([expected]);
  });

  it("without a meaning for clients are skipped, and unknown ones are counted", () => {
    const { client, events } = ready();
    for (const type of [FrameType.keepAlive, FrameType.serverKey, FrameType.serverInfo])
      client.handleBytes(frame(type, new Uint8Array(60)), START);
    expect(client.counts.unknownFrames).toBe(0);
    client.handleBytes(frame(0x77, KEY), START);
    expect(client.counts.unknownFrames).toBe(1);
    client.handleBytes(frame(FrameType.recvPacket, KEY), START);
    expect(events).toEqual([["packet", 7, 0]]);
    expect(client.counts.packetsReceived).toBe(1);
  });

  it("are ignored by a handler for packets only", () => {
    const { client } = ready({ handler: { onPacket: () => undefined } });
    client.ping(START);
    const payload = client.takeOutput()!.subarray(HEADER_BYTES);
    const all = [FrameType.peerGone, FrameType.peerPresent, FrameType.health, FrameType.restarting];
    for (const type of all) client.handleBytes(frame(type, KEY), START);
    client.handleBytes(frame(FrameType.pong, payload), START);
    client.close();
    expect(client.closed).toBe(true);
  });

  it("a ping is answered with its first eight bytes", () => {
    const { client } = ready();
    client.handleBytes(frame(FrameType.ping, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9)), START);
    expect(client.takeOutput()).toEqual(frame(FrameType.pong, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)));
  });
});

describe("what is sent", () => {
  it("counts with its header: the queue takes exactly its limit, one byte more is dropped", () => {
    const room = HEADER_BYTES + KEY_BYTES + 100;
    const { client } = ready({ maxQueuedBytes: room });
    const bytes = new Uint8Array(200);
    expect(client.sendPacket(KEY, bytes, 0, 101, START)).toBe(false);
    expect(client.sendPacket(KEY, bytes, 0, 100, START)).toBe(true);
    expect(client.queuedBytes).toBe(room);
    expect(client.sendPacket(KEY, bytes, 0, 0, START)).toBe(false);
    expect(client.counts).toMatchObject({ packetsSent: 1, droppedQueueFull: 2, droppedTooLong: 0 });
  });

  it("may be a forwarded packet, under the same limits and with both keys", () => {
    const room = HEADER_BYTES + 2 * KEY_BYTES + 100;
    const { client } = ready({ maxQueuedBytes: room });
    const bytes = new Uint8Array(200);
    expect(client.forwardPacket(KEY, OTHER, bytes, 0, 101)).toBe(false);
    expect(client.counts).toMatchObject({ packetsSent: 0, droppedQueueFull: 1 });
    expect(client.forwardPacket(KEY, OTHER, bytes, 0, 100)).toBe(true);
    expect(client.counts).toMatchObject({ packetsSent: 1, droppedQueueFull: 1 });
    const sent = client.takeOutput()!;
    expect(framesOf(sent)).toEqual([[FrameType.forwardPacket, 2 * KEY_BYTES + 100]]);
    expect([sent[HEADER_BYTES], sent[HEADER_BYTES + KEY_BYTES]]).toEqual([7, 9]);
  });

  it("is at most as long as a packet may be", () => {
    const { client } = ready();
    const bytes = new Uint8Array(MAX_PACKET_BYTES + 1);
    expect(client.sendPacket(KEY, bytes, 0, MAX_PACKET_BYTES, START)).toBe(true);
    expect(client.sendPacket(KEY, bytes, 0, MAX_PACKET_BYTES + 1, START)).toBe(false);
    expect(client.forwardPacket(KEY, OTHER, bytes, 0, MAX_PACKET_BYTES)).toBe(true);
    expect(client.forwardPacket(KEY, OTHER, bytes, 0, MAX_PACKET_BYTES + 1)).toBe(false);
    expect(client.counts).toMatchObject({ packetsSent: 2, droppedTooLong: 1, droppedQueueFull: 0 });
  });

  it("keeps to the rate that the server announced", () => {
    const size = HEADER_BYTES + KEY_BYTES;
    const { client } = ready({}, { version: 2, tokenBucketBytesPerSecond: size, tokenBucketBytesBurst: 2 * size });
    const send = (ms: number) => client.sendPacket(KEY, KEY, 0, 0, addMs(START, ms));
    expect([send(0), send(0), send(0), send(999), send(1_000), send(1_001)]).toEqual([
      true,
      true,
      false,
      false,
      true,
      false,
    ]);
    expect(client.counts.droppedRateLimited).toBe(3);
  });

  it("may be an answer or control frame beyond full queues, up to a limit", () => {
    const { client } = ready({ maxQueuedBytes: 100 });
    const ping = frame(FrameType.ping, new Uint8Array(8));
    const pong = HEADER_BYTES + 8;
    for (let i = 0; i < 2_000; i++) client.handleBytes(ping, START);
    const fits = Math.floor((100 + 16 * 1024) / pong);
    expect(client.queuedBytes).toBe(fits * pong);
    expect(client.counts.droppedQueueFull).toBe(2_000 - fits);
  });

  it("is written into a returned buffer", () => {
    const { client } = ready();
    client.sendPacket(KEY, KEY, 0, 32, START);
    const first = client.takeOutput()!;
    client.recycle(first);
    client.sendPacket(KEY, KEY, 0, 32, START);
    expect(client.takeOutput()!.buffer).toBe(first.buffer);
  });

  it("is dropped once the client is closed, which is reported once", () => {
    const { client, events } = ready();
    client.sendPacket(KEY, KEY, 0, 32, START);
    client.close();
    client.close("read-timeout");
    expect(events).toEqual([["closed", "closed"]]);
    expect([client.closed, client.ready, client.queuedBytes, client.takeOutput()]).toEqual([true, false, 0, undefined]);
    expect(client.sendPacket(KEY, KEY, 0, 32, START)).toBe(false);
    expect(client.forwardPacket(KEY, OTHER, KEY, 0, 32)).toBe(false);
    client.notePreferred(true);
    client.ping(START);
    client.handleBytes(frame(FrameType.ping, KEY), START);
    client.handleTimeout(addMs(START, READ_TIMEOUT_MS));
    expect([client.queuedBytes, events.length, client.counts.packetsSent]).toEqual([0, 1, 1]);
  });
});

describe("signs of life", () => {
  const payloadOf = (client: DerpClient): Uint8Array => client.takeOutput()!.subarray(HEADER_BYTES);

  it("only the answer to the ping under way counts, once", () => {
    const { client, events } = ready();
    client.handleBytes(frame(FrameType.pong, new Uint8Array(8)), START);
    client.ping(START);
    const payload = payloadOf(client);
    client.ping(addMs(START, 10));
    expect(client.queuedBytes).toBe(0);
    client.handleBytes(
      frame(
        FrameType.pong,
        payload.map((byte) => byte ^ 1),
      ),
      addMs(START, 20),
    );
    expect(events).toEqual([]);
    client.handleBytes(frame(FrameType.pong, payload), addMs(START, 30));
    client.handleBytes(frame(FrameType.pong, payload), addMs(START, 40));
    expect(events).toEqual([["pong", 30]]);
  });

  it("a ping without a deadline expires", () => {
    const { client, events } = ready();
    client.ping(START);
    client.takeOutput();
    client.handleTimeout(addMs(START, PING_TIMEOUT_MS - 1));
    client.ping(addMs(START, PING_TIMEOUT_MS - 1));
    expect(client.queuedBytes).toBe(0);
    client.handleTimeout(addMs(START, PING_TIMEOUT_MS));
    client.ping(addMs(START, PING_TIMEOUT_MS));
    expect(client.queuedBytes).toBeGreaterThan(0);
    expect(events).toEqual([]);
  });

  it("of repeated requests the earliest deadline applies; any input meanwhile satisfies it", () => {
    const { client, events } = ready();
    client.ping(START, 1_000);
    client.ping(addMs(START, 500), 1_000);
    client.handleTimeout(addMs(START, 999));
    expect(events).toEqual([]);
    client.handleTimeout(addMs(START, 1_000));
    expect(events).toEqual([["closed", "ping-timeout"]]);
    const lucky = ready();
    lucky.client.ping(START, 1_000);
    lucky.client.handleBytes(frame(FrameType.keepAlive), addMs(START, 1));
    lucky.client.handleTimeout(addMs(START, 1_000));
    expect(lucky.events).toEqual([]);
  });

  it("without any frame the connection is dead", () => {
    const { client, events } = ready();
    client.handleBytes(frame(FrameType.keepAlive), addMs(START, 5_000));
    expect(client.nextTimeout()).toBe(addMs(START, 5_000 + READ_TIMEOUT_MS));
    client.handleTimeout(addMs(START, 5_000 + READ_TIMEOUT_MS - 1));
    expect(events).toEqual([]);
    client.handleTimeout(addMs(START, 5_000 + READ_TIMEOUT_MS));
    expect(events).toEqual([["closed", "read-timeout"]]);
  });
});
