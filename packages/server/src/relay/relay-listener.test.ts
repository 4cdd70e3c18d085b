import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { hexDecode, hexEncode, utf8 } from "wg-userspace/base/bytes";
import type { EngineError } from "wg-userspace/base/errors";
import { instant } from "wg-userspace/base/instant";
import { copyOf, FrameType, frame, MAX_PACKET_BYTES, writeHeader } from "wg-userspace/derp/frame";
import { clientInfoFrame, serverKeyFrame } from "wg-userspace/derp/handshake";
import { derpMapOf, type Region, relayNode } from "wg-userspace/derp/map";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite as crypto, nodeRandom as random } from "wg-userspace/io/host/crypto-suite";
import { RelayConnection, type RelayConnectionOptions, type RelayState } from "wg-userspace/io/relay/relay-connection";
import { directRelayDialer } from "wg-userspace/io/relay/relay-dialer";
import { measureLatency } from "wg-userspace/io/relay/relay-latency";
import { RawLine } from "wg-userspace/testing/virtual-relay";
import { WebSocket, WebSocketServer } from "ws";
import { RelayListener, type RelayListenerOptions } from "./relay-listener.ts";

const privateKeys = Array.from({ length: 5 }, (_, i) => new Uint8Array(32).fill(i + 1));
const publicKeys = privateKeys.map((key) => crypto.publicKey(key));
const eventually = { timeout: 15_000, interval: 5 };

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Running {
  readonly listener: RelayListener;
  readonly port: number;
  close(): Promise<void>;
}

async function startRelay(options: Partial<RelayListenerOptions> = {}, port = 0): Promise<Running> {
  const listener = new RelayListener({
    privateKey: new Uint8Array(32).fill(99),
    crypto,
    random,
    clock: monotonicNow,
    ...options,
  });
  const server = createServer((req, res) => {
    if (!listener.handleRequest(req, res)) res.writeHead(404).end();
  });
  server.on("upgrade", (req: IncomingMessage, socket: Socket, head: Buffer) =>
    listener.handleUpgrade(req, socket, head),
  );
  const bound = await listen(server, port);
  const close = async (): Promise<void> => {
    await listener.shutdown(0, 0);
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  cleanups.push(close);
  return { listener, port: bound, close };
}

async function listen(server: Server | ReturnType<typeof createTcpServer>, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

function regionAt(...ports: readonly number[]): Region {
  const nodes = ports.map((port, i) =>
    relayNode({ name: `1${i}`, regionId: 1, hostName: "127.0.0.1", derpPort: port, forceHttp: true }),
  );
  const region = { regionId: 1, regionCode: "t", regionName: "Test", embeddedRelay: false, avoid: false, nodes };
  return derpMapOf([region]).regions.get(1)!;
}

interface Peer {
  readonly connection: RelayConnection;
  readonly publicKey: Uint8Array;
  readonly packets: { readonly source: string; readonly bytes: Uint8Array }[];
  readonly states: RelayState[];
  readonly errors: EngineError[];
  readonly forced: string[];
  readonly gone: string[];
  batches: number;
}

function connectPeer(who: number, region: Region, options: Partial<RelayConnectionOptions> = {}): Peer {
  const packets: Peer["packets"] = [];
  const states: RelayState[] = [];
  const errors: EngineError[] = [];
  const forced: string[] = [];
  const gone: string[] = [];
  const connection = new RelayConnection({
    region,
    privateKey: privateKeys[who]!,
    publicKey: publicKeys[who]!,
    crypto,
    random,
    clock: monotonicNow,
    dial: directRelayDialer,
    onForcedWebSocket: (reason) => forced.push(reason),
    handler: {
      onPacket: (_region, source, bytes, offset, length) =>
        packets.push({ source: hexEncode(source), bytes: copyOf(bytes, offset, length) }),
      onBatchEnd: () => {
        peer.batches++;
      },
      onStateChange: (state, error) => {
        states.push(state);
        if (error !== undefined) errors.push(error);
      },
      onPeerGone: (key) => gone.push(hexEncode(key)),
    },
    ...options,
  });
  const peer: Peer = { connection, publicKey: publicKeys[who]!, packets, states, errors, forced, gone, batches: 0 };
  cleanups.push(() => connection.close());
  return peer;
}

async function ready(...peers: readonly Peer[]): Promise<void> {
  await vi.waitFor(
    () => expect(peers.map((peer) => peer.connection.state)).toEqual(peers.map(() => "ready")),
    eventually,
  );
}

/** Sends in bursts that stay below the limit of the queue, and waits until all have arrived. */
async function sendAll(from: Peer, to: Peer, count: number, length: number): Promise<void> {
  const before = to.packets.length;
  const payload = new Uint8Array(length);
  for (let i = 0; i < count; i++) {
    payload[0] = i >> 8;
    payload[1] = i & 255;
    expect(from.connection.send(to.publicKey, payload, 0, length)).toBe(true);
    if (i % 50 === 49) await vi.waitFor(() => expect(to.packets.length).toBe(before + i + 1), eventually);
  }
  await vi.waitFor(() => expect(to.packets.length).toBe(before + count), eventually);
}

/** A DERP connection written by hand. */
async function rawClient(port: number, headers = "Upgrade: DERP\r\nConnection: Upgrade\r\n") {
  const socket = connectTcp(port, "127.0.0.1");
  cleanups.push(() => void socket.destroy());
  await once(socket, "connect");
  const line = new RawLine(0);
  let head = "";
  let closed = false;
  socket.on("error", () => undefined);
  socket.on("close", () => {
    closed = true;
  });
  const fastStart = headers.includes("Fast-Start");
  socket.on("data", (chunk: Buffer) => {
    if (fastStart || head.includes("\r\n\r\n")) return line.fromRelay(chunk);
    head += chunk.toString("latin1");
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const rest = Buffer.from(head.slice(end + 4), "latin1");
    head = head.slice(0, end + 4);
    if (head.startsWith("HTTP/1.1 101")) line.fromRelay(rest);
    else head += rest.toString("latin1");
  });
  socket.write(`GET /derp HTTP/1.1\r\nHost: relay\r\n${headers}\r\n`);
  return {
    socket,
    line,
    get head(): string {
      return head;
    },
    get closed(): boolean {
      return closed;
    },
  };
}

function greeting(who: number, relayKey: Uint8Array): Uint8Array {
  const boxKey = crypto.boxKey(privateKeys[who]!, relayKey)!;
  const info = { version: 2, canAckPings: true, isProber: false };
  return clientInfoFrame(crypto, publicKeys[who]!, boxKey, random.bytes(24), info);
}

describe("two clients on a real relay", () => {
  it.each([
    ["raw", "raw"],
    ["websocket", "websocket"],
    ["raw", "websocket"],
  ] as const)("exchange packets, one over %s and one over %s", async (first, second) => {
    const { port, listener } = await startRelay();
    const a = connectPeer(0, regionAt(port), { forceWebSocket: first === "websocket" });
    const b = connectPeer(1, regionAt(port), { forceWebSocket: second === "websocket" });
    await ready(a, b);
    expect([a.connection.transport, b.connection.transport]).toEqual([first, second]);
    await sendAll(a, b, 200, 1300);
    await sendAll(b, a, 3, MAX_PACKET_BYTES);
    expect(b.packets.map(({ bytes }) => (bytes[0]! << 8) | bytes[1]!)).toEqual(
      Array.from({ length: 200 }, (_, i) => i),
    );
    expect(new Set(b.packets.map(({ source }) => source))).toEqual(new Set([hexEncode(a.publicKey)]));
    expect(b.batches).toBeLessThan(200);
    expect([a.forced, b.forced]).toEqual([[], []]);
    expect(listener.metrics.relay).toMatchObject({ clients: 2, packetsReceived: 203, packetsSent: 203, drops: {} });
    expect(await a.connection.ping({ signal: AbortSignal.timeout(5_000) })).toBeGreaterThanOrEqual(0);
    expect(a.connection.latencyMs).toBeGreaterThanOrEqual(0);
  });

  it("may send while the connection is still being made", async () => {
    const { port } = await startRelay();
    const b = connectPeer(1, regionAt(port));
    await ready(b);
    const a = connectPeer(0, regionAt(port));
    expect(a.connection.send(b.publicKey, utf8("early"), 0, 5)).toBe(true);
    await vi.waitFor(() => expect(b.packets.map(({ bytes }) => bytes)).toEqual([utf8("early")]), eventually);
  });

  it("learn when the other one leaves, and close ends everything", async () => {
    const { port, listener } = await startRelay();
    const a = connectPeer(0, regionAt(port));
    const b = connectPeer(1, regionAt(port));
    await ready(a, b);
    await sendAll(a, b, 1, 10);
    await a.connection.close();
    await a.connection.close();
    expect(a.connection.state).toBe("closed");
    expect(a.connection.send(b.publicKey, utf8("late"), 0, 4)).toBe(false);
    await vi.waitFor(() => expect(b.gone).toEqual([hexEncode(a.publicKey)]), eventually);
    expect(listener.isConnected(a.publicKey)).toBe(false);
  });

  it("keeps the home across reconnects", async () => {
    const relay = await startRelay();
    const a = connectPeer(0, regionAt(relay.port));
    a.connection.notePreferred(true);
    await vi.waitFor(() => expect(relay.listener.metrics.relay.homeClients).toBe(1), eventually);
    relay.listener.revoke(a.publicKey);
    await vi.waitFor(() => {
      expect(relay.listener.metrics.relay.registrations).toBe(2);
      expect(relay.listener.metrics.relay.homeClients).toBe(1);
    }, eventually);
  });

  it("measures latency by the HTTP probe", async () => {
    const { port } = await startRelay();
    const options = { dialer: directRelayDialer, signal: AbortSignal.timeout(5_000) };
    expect(await measureLatency(regionAt(port), options)).toBeGreaterThanOrEqual(0);
    const nothing = await closedPort();
    await expect(measureLatency(regionAt(nothing), options)).rejects.toMatchObject({ code: "ERR_CONNECTION_REFUSED" });
    expect(await measureLatency(regionAt(nothing, port), options)).toBeGreaterThanOrEqual(0);
  });
});

describe("a relay that comes back", () => {
  it("is connected to again after a restart, and packets flow as before", async () => {
    const first = await startRelay();
    const a = connectPeer(0, regionAt(first.port));
    const b = connectPeer(1, regionAt(first.port));
    await ready(a, b);
    await first.close();
    await vi.waitFor(() => expect(a.states).toContain("waiting"), eventually);
    await startRelay({}, first.port);
    await ready(a, b);
    await sendAll(a, b, 20, 500);
    expect(a.connection.lastError).toBeUndefined();
    expect(a.errors[0]?.code).toMatch(/^ERR_(RELAY_GONE|CONNECTION_RESET)$/);
  });

  it("is found on another node of the region, in the order of the list", async () => {
    const second = await startRelay();
    const a = connectPeer(0, regionAt(await closedPort(), second.port));
    await ready(a);
    expect(a.states).toEqual(["ready"]);
  });

  it("is retried at once by reconnectNow", async () => {
    const port = await closedPort();
    const a = connectPeer(0, regionAt(port));
    await vi.waitFor(
      () => expect(a.states.filter((state) => state === "waiting").length).toBeGreaterThan(2),
      eventually,
    );
    expect(a.connection.lastError?.code).toBe("ERR_CONNECTION_REFUSED");
    expect(a.connection.lastError?.message).toBe(`cannot connect to "127.0.0.1:${port}": connection refused`);
    await startRelay({}, port);
    a.connection.reconnectNow();
    await ready(a);
  });
});

describe("an intermediary between client and relay", () => {
  /** Passes WebSocket through to the relay and handles every other upgrade with `other`. */
  async function proxyTo(port: number, other: (socket: Socket) => void): Promise<number> {
    const server = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", (chunk: Buffer) => {
        if (!/upgrade: websocket/i.test(chunk.toString("latin1"))) return other(socket);
        const upstream = connectTcp(port, "127.0.0.1");
        upstream.on("error", () => socket.destroy());
        socket.on("close", () => upstream.destroy());
        upstream.on("close", () => socket.destroy());
        upstream.write(chunk);
        socket.pipe(upstream).pipe(socket);
      });
    });
    cleanups.push(() => void server.close());
    return listen(server);
  }
  const answer = (status: string) => (socket: Socket) =>
    void socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);

  it("answers 400 to the raw upgrade: WebSocket from then on, and the reason is reported once", async () => {
    const { port, listener } = await startRelay();
    const a = connectPeer(0, regionAt(await proxyTo(port, answer("400 Bad Request"))));
    await ready(a);
    expect(a.connection.transport).toBe("websocket");
    expect(a.forced).toEqual(['raw upgrade refused with HTTP 400: a proxy may not allow "Upgrade: DERP"']);
    expect(a.errors[0]).toMatchObject({ code: "ERR_RELAY_REFUSED", retryable: true });
    listener.revoke(a.publicKey);
    await vi.waitFor(() => expect(listener.metrics.relay.registrations).toBe(2), eventually);
    expect(a.forced).toHaveLength(1);
  });

  it("resets the raw upgrade: WebSocket is tried next, but preferred only when that happens again", async () => {
    const { port, listener } = await startRelay();
    const a = connectPeer(0, regionAt(await proxyTo(port, (socket) => socket.resetAndDestroy())));
    await ready(a);
    expect([a.connection.transport, a.forced]).toEqual(["websocket", []]);
    listener.revoke(a.publicKey);
    await vi.waitFor(() => expect(a.forced).toHaveLength(1), eventually);
    await ready(a);
    expect(a.connection.transport).toBe("websocket");
  });

  it("answers 502 while the relay is away: the raw upgrade is used when it is back", async () => {
    const port = await closedPort();
    const down = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => answer("502 Bad Gateway")(socket));
    });
    await listen(down, port);
    const a = connectPeer(0, regionAt(port));
    await vi.waitFor(() => expect(a.errors.length).toBeGreaterThanOrEqual(2), eventually);
    expect(a.errors[0]?.message).toBe(`cannot reach relay "127.0.0.1:${port}": refused with HTTP 502 Bad Gateway`);
    await new Promise((resolve) => down.close(resolve));
    const { listener } = await startRelay({}, port);
    await ready(a);
    expect(a.forced).toEqual([]);
    if (a.connection.transport === "websocket") {
      listener.revoke(a.publicKey);
      await vi.waitFor(() => expect(a.connection.transport).toBe("raw"), eventually);
    }
  });

  it("is not a relay: the error reports it", async () => {
    for (const [reply, code] of [
      ["SSH-2.0-OpenSSH_9.9\r\n\r\n", "ERR_RELAY_PROTOCOL"],
      ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", "ERR_RELAY_PROTOCOL"],
      ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\nnot DERP at all", "ERR_RELAY_PROTOCOL"],
      [`HTTP/1.1 200 OK\r\nX: ${"x".repeat(20_000)}`, "ERR_RELAY_PROTOCOL"],
      ["HTTP/1.1 200 OK\r\n\r\n", "ERR_RELAY_REFUSED"],
    ] as const) {
      const server = createTcpServer((socket) => {
        socket.on("error", () => undefined);
        socket.once("data", () => socket.write(reply));
      });
      const a = connectPeer(0, regionAt(await listen(server)));
      await vi.waitFor(() => expect(a.errors[0]?.code).toBe(code), eventually);
      await a.connection.close();
      server.close();
    }
  });
});

describe("the listener on HTTP", () => {
  it("answers plain requests: 426 on /derp, 200 and nothing on the probe", async () => {
    const { port, listener } = await startRelay();
    for (const [method, path, status, body] of [
      ["GET", "/derp", 426, "DERP requires connection upgrade"],
      ["GET", "/derp/latency-check", 200, ""],
      ["HEAD", "/derp/latency-check", 200, ""],
      ["GET", "/other", 404, ""],
    ] as const) {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        request({ port, host: "127.0.0.1", method, path }, resolve).on("error", reject).end();
      });
      const text = (await response.toArray()).join("");
      expect([path, response.statusCode, text]).toEqual([path, status, body]);
    }
    expect(listener.fetch(new Request("http://x/derp"))?.status).toBe(426);
    expect(listener.fetch(new Request("http://x/derp/latency-check"))?.status).toBe(200);
    expect(listener.fetch(new Request("http://x/"))).toBeUndefined();
  });

  it("answers the classic upgrade with version and key", async () => {
    const { port, listener } = await startRelay();
    const client = await rawClient(port, "upgrade: DeRp\r\nConnection: Upgrade\r\n");
    await vi.waitFor(() => expect(client.line.types).toEqual([FrameType.serverKey]), eventually);
    expect(client.head).toContain("HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n");
    expect(client.head).toContain(`Derp-Version: 2\r\nDerp-Public-Key: ${hexEncode(listener.publicKey)}\r\n`);
  });

  it("writes no HTTP at all on fast start", async () => {
    const { port } = await startRelay();
    const client = await rawClient(port, "Upgrade: DERP\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\n");
    await vi.waitFor(() => expect(client.line.types).toEqual([FrameType.serverKey]), eventually);
  });

  it("takes frames that arrive right behind the upgrade request", async () => {
    const { port, listener } = await startRelay();
    const client = await rawClient(port, "Upgrade: DERP\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\n");
    const another = connectTcp(port, "127.0.0.1");
    cleanups.push(() => void another.destroy());
    another.write(
      Buffer.concat([
        Buffer.from("GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"),
        greeting(0, listener.publicKey),
      ]),
    );
    await vi.waitFor(() => expect(listener.isConnected(publicKeys[0]!)).toBe(true), eventually);
    expect(client.closed).toBe(false);
  });

  it.each([
    ["another protocol", "Upgrade: h2c\r\nConnection: Upgrade\r\n"],
    [
      "WebSocket without the derp subprotocol",
      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ],
  ])("refuses %s with 426", async (_name, headers) => {
    const { port, listener } = await startRelay();
    const client = await rawClient(port, headers);
    await vi.waitFor(() => expect(client.closed).toBe(true), eventually);
    expect(client.head).toMatch(/^HTTP\/1\.1 426 .*DERP requires connection upgrade$/s);
    expect(listener.metrics.refused).toEqual({ "not-an-upgrade": 1 });
  });

  it("refuses the raw upgrade with 426 when only WebSocket is wanted, and clients find their way", async () => {
    const { port } = await startRelay({ webSocketOnly: true });
    const a = connectPeer(0, regionAt(port));
    await ready(a);
    expect(a.connection.transport).toBe("websocket");
    expect(a.forced).toHaveLength(1);
  });

  it("sends no WebSocket message above 32 KiB, which stock clients refuse, and neither does our client", async () => {
    const { port, listener } = await startRelay();
    const socket = new WebSocket(`ws://127.0.0.1:${port}/derp`, ["derp"]);
    cleanups.push(() => socket.terminate());
    const lengths: number[] = [];
    socket.on("message", (data: Buffer) => lengths.push(data.length));
    await once(socket, "open");
    socket.send(greeting(2, listener.publicKey));
    const a = connectPeer(0, regionAt(port));
    await ready(a);
    await vi.waitFor(() => expect(listener.isConnected(publicKeys[2]!)).toBe(true), eventually);
    for (let i = 0; i < 5; i++)
      a.connection.send(publicKeys[2]!, new Uint8Array(MAX_PACKET_BYTES), 0, MAX_PACKET_BYTES);
    const total = 5 * (MAX_PACKET_BYTES + 37);
    await vi.waitFor(() => expect(lengths.reduce((sum, n) => sum + n, 0)).toBeGreaterThan(total), eventually);
    expect(Math.max(...lengths)).toBe(32 * 1024);

    const received: number[] = [];
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    cleanups.push(() => void server.close());
    server.on("connection", (client) => {
      client.on("message", (data: Buffer) => received.push(data.length));
      client.send(serverKeyFrame(listener.publicKey));
    });
    await once(server, "listening");
    const b = connectPeer(1, regionAt((server.address() as AddressInfo).port), { forceWebSocket: true });
    for (let i = 0; i < 5; i++) b.connection.send(a.publicKey, new Uint8Array(MAX_PACKET_BYTES), 0, MAX_PACKET_BYTES);
    await vi.waitFor(() => expect(received.reduce((sum, n) => sum + n, 0)).toBeGreaterThan(total), eventually);
    expect(Math.max(...received)).toBe(32 * 1024);
  });

  it("negotiates the derp subprotocol without compression, and closes on text and on huge messages", async () => {
    const { port, listener } = await startRelay();
    for (const message of ["text", new Uint8Array(400_000)]) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/derp`, ["other", "derp"]);
      const codes: number[] = [];
      socket.on("error", () => undefined);
      socket.on("close", (code) => codes.push(code));
      await once(socket, "open");
      expect([socket.protocol, socket.extensions]).toEqual(["derp", ""]);
      socket.send(message);
      await vi.waitFor(() => expect(codes).toHaveLength(1), eventually);
    }
    await vi.waitFor(() => expect(listener.metrics.webSocketConnections).toBe(0), eventually);
  });
});

describe("admission", () => {
  it("security 17: an unknown key is closed before any of its frames is relayed", async () => {
    const known = hexEncode(publicKeys[0]!);
    const { port, listener } = await startRelay({ admit: (key) => hexEncode(key) === known });
    const a = connectPeer(0, regionAt(port));
    await ready(a);
    const stranger = await rawClient(port);
    stranger.socket.write(
      Buffer.concat([greeting(2, listener.publicKey), frame(FrameType.sendPacket, a.publicKey, utf8("hi"))]),
    );
    await vi.waitFor(() => expect(stranger.closed).toBe(true), eventually);
    expect(a.packets).toEqual([]);
    expect(listener.metrics.relay).toMatchObject({ packetsReceived: 0, closes: { "not-admitted": 1 } });
  });

  it("security 16: revoke closes the open connections of a key", async () => {
    let allowed = true;
    const { port, listener } = await startRelay({ admit: () => allowed });
    const a = connectPeer(0, regionAt(port));
    await ready(a);
    allowed = false;
    expect(listener.revoke(a.publicKey)).toBe(1);
    await vi.waitFor(
      () => expect(listener.metrics.relay.closes).toMatchObject({ revoked: 1, "not-admitted": 1 }),
      eventually,
    );
    expect(a.connection.state).not.toBe("ready");
  });

  it("security 20: bounds connections in all, connections per address, and new connections per second", async () => {
    const over = async (limits: RelayListenerOptions["limits"], allowed: number, refusal: string): Promise<void> => {
      // The clock stands still, so that the rate limit never refills.
      const relay = await startRelay({ limits: limits!, clock: () => instant(1) });
      const clients = await Promise.all(Array.from({ length: allowed + 3 }, () => rawClient(relay.port)));
      await vi.waitFor(
        () => expect(clients.filter((client) => client.head !== "")).toHaveLength(allowed + 3),
        eventually,
      );
      expect(clients.filter((client) => client.head.startsWith("HTTP/1.1 101"))).toHaveLength(allowed);
      expect(clients.filter((client) => client.head.startsWith("HTTP/1.1 503"))).toHaveLength(3);
      expect(relay.listener.metrics.refused).toEqual({ [refusal]: 3 });
      for (const client of clients) client.socket.destroy();
      await vi.waitFor(() => expect(relay.listener.metrics.rawConnections).toBe(0), eventually);
    };
    await over({ connections: 4 }, 4, "too-many-connections");
    await over({ connectionsPerAddress: 5 }, 5, "too-many-from-address");
    await over({ handshakesPerSecond: 1, handshakeBurst: 6 }, 6, "handshake-rate");
  });

  it("security 20: a flood of ten times the rate leaves the honest client its packets", async () => {
    const { port, listener } = await startRelay({ limits: { bytesPerSecond: 200_000, bytesBurst: 50_000 } });
    const honest = connectPeer(0, regionAt(port));
    const receiver = connectPeer(1, regionAt(port));
    await ready(honest, receiver);
    const flooder = await rawClient(port);
    flooder.socket.write(greeting(2, listener.publicKey));
    const burst = Buffer.concat(
      Array.from({ length: 100 }, () => frame(FrameType.sendPacket, receiver.publicKey, new Uint8Array(1000))),
    );
    let sent = 0;
    for (let turn = 0; turn < 40; turn++) {
      flooder.socket.write(burst);
      if (honest.connection.send(receiver.publicKey, new Uint8Array(1000), 0, 1000)) sent++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await vi.waitFor(() => expect(listener.metrics.relay.packetsReceived).toBe(sent + 4_000), eventually);
    const fromHonest = (): number =>
      receiver.packets.filter(({ source }) => source === hexEncode(honest.publicKey)).length;
    await vi.waitFor(() => expect(fromHonest()).toBeGreaterThanOrEqual(Math.ceil(0.9 * sent)), eventually);
    expect(sent).toBe(40);
    expect(listener.metrics.relay.drops["rate-limited"]).toBeGreaterThan(3_000);
  });
});

describe("hostile clients", () => {
  it("security 19: 64 KiB + 1 closes the connection, one that sends it and no other", async () => {
    const { port, listener } = await startRelay();
    const a = connectPeer(0, regionAt(port));
    await ready(a);
    const bad = await rawClient(port);
    const header = new Uint8Array(5);
    writeHeader(header, 0, FrameType.sendPacket, 32 + MAX_PACKET_BYTES + 1);
    bad.socket.write(Buffer.concat([greeting(2, listener.publicKey), header]));
    await vi.waitFor(() => expect(bad.closed).toBe(true), eventually);
    expect(listener.metrics.relay.closes).toEqual({ "frame-too-long": 1 });
    expect(a.connection.state).toBe("ready");
  });

  it("security 19: one that never reads is disconnected, while others get everything", async () => {
    const { port, listener } = await startRelay();
    const a = connectPeer(0, regionAt(port));
    const b = connectPeer(1, regionAt(port));
    await ready(a, b);
    const slow = await rawClient(port);
    slow.socket.write(greeting(2, listener.publicKey));
    await vi.waitFor(() => expect(listener.isConnected(publicKeys[2]!)).toBe(true), eventually);
    slow.socket.pause();
    const big = new Uint8Array(60_000);
    while (listener.metrics.relay.drops["queue-head"] === undefined) {
      a.connection.send(publicKeys[2]!, big, 0, big.length);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await sendAll(a, b, 50, 1000);
    await vi.waitFor(() => expect(listener.metrics.stalled).toBe(1), eventually);
    expect(listener.isConnected(publicKeys[2]!)).toBe(false);
    expect([a.connection.state, b.connection.state]).toEqual(["ready", "ready"]);
  });

  it("security 42: random bytes end their own connection and nothing else", async () => {
    const { port, listener } = await startRelay();
    const a = connectPeer(0, regionAt(port));
    const b = connectPeer(1, regionAt(port));
    await ready(a, b);
    const clients = await Promise.all(Array.from({ length: 10 }, () => rawClient(port)));
    for (const client of clients) client.socket.write(random.bytes(2_000));
    await vi.waitFor(() => expect(clients.every((client) => client.closed)).toBe(true), eventually);
    await sendAll(a, b, 10, 100);
    expect(listener.metrics.relay.clients).toBe(2);
  });
});

describe("shutdown", () => {
  it("tells clients when to come back, closes raw and WebSocket connections, and refuses new ones", async () => {
    const { port, listener } = await startRelay();
    const client = await rawClient(port);
    client.socket.write(greeting(2, listener.publicKey));
    const a = connectPeer(0, regionAt(port), { forceWebSocket: true });
    await ready(a);
    await vi.waitFor(() => expect(client.line.types).toContain(FrameType.serverInfo), eventually);
    await listener.shutdown(1_500, 30_000);
    await vi.waitFor(() => expect(client.closed).toBe(true), eventually);
    const restarting = client.line.frames.find(({ type }) => type === FrameType.restarting);
    expect(restarting?.payload).toEqual(hexDecode("000005dc00007530"));
    expect(listener.metrics).toMatchObject({ rawConnections: 0, webSocketConnections: 0 });
    expect(listener.metrics.relay.clients).toBe(0);
    const late = await rawClient(port);
    await vi.waitFor(() => expect(late.head).toMatch(/^HTTP\/1\.1 503/), eventually);
  });
});

async function closedPort(): Promise<number> {
  const server = createTcpServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}
