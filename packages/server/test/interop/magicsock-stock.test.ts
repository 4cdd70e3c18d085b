/**
 * Our node against a stock Tailscale peer: magicsock and wireguard-go of tailscale.com. First relayed, then direct, then relayed
 * again when the direct path fails.
 */
import { execFileSync } from "node:child_process";
import { Socket } from "node:dgram";
import { setTimeout as sleep } from "node:timers/promises";
import type { TailnetNode } from "coder-client/node/tailnet-node";
import type { NodeInfo } from "coder-protocol/tailnet/node";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { hexDecode, hexEncode } from "wg-userspace/base/bytes";
import { type AddrPort, formatAddrPort, ip, isIpv4, parseAddrPort } from "wg-userspace/base/ip";
import { parseDiscoMessage } from "wg-userspace/disco/message";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite } from "wg-userspace/io/host/crypto-suite";
import { pingTunnel } from "wg-userspace/io/sockets/tcp-tunnel";
import { loadUdpBatch } from "wg-userspace/io/udp/udp-batch";
import type { UdpSocket } from "wg-userspace/netstack/stack";
import { buildMagicPeer, MagicPeer, REGION, TestNetwork, until } from "./magic-peer.ts";

const OURS = "fd7a:115c:a1e0::1";
/** The ports on which the stock peer echoes datagrams, and on which we do. */
const ECHO_PORT = 7;
const STREAM = 200;
const WINDOW = 8;
const ANSWER_MS = 5_000;
const numbers = Array.from({ length: STREAM }, (_, i) => i);
const hasGo = ((): boolean => {
  try {
    execFileSync("go", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!hasGo)(`magicsock of tailscale.com (missing here: ${hasGo ? "nothing" : "go"})`, () => {
  let network: TestNetwork;

  beforeAll(async () => {
    buildMagicPeer();
    network = await TestNetwork.open();
  }, 600_000);

  afterAll(async () => {
    await network?.[Symbol.asyncDispose]();
  });

  describe("when direct connections are forbidden on our side", () => {
    const relayed = { kind: "relayed", region: { id: REGION, name: "t" } };
    let node: TailnetNode;
    let first: MagicPeer;
    let second: MagicPeer;
    let echo: UdpSocket;
    /** Types of WireGuard messages that arrived by relay, by sender. */
    const heard = new Map<string, number[]>();

    beforeAll(async () => {
      node = await network.openNode(OURS, "this-client");
      echo = echoOn(node);
      const { engine } = node.driver;
      const handle = engine.handleRelayPacket.bind(engine);
      vi.spyOn(engine, "handleRelayPacket").mockImplementation((region, from, bytes, offset, length, now) => {
        const sender = hexEncode(from);
        // A disco packet begins with a letter; the types of WireGuard messages are 1 to 4.
        if (bytes[offset]! <= 4) heard.set(sender, [...(heard.get(sender) ?? []), bytes[offset]!]);
        handle(region, from, bytes, offset, length, now);
      });
      first = await MagicPeer.start("fd7a:115c:a1e0::2", network);
      second = await MagicPeer.start("fd7a:115c:a1e0::3", network);
      for (const peer of [first, second]) {
        await peer.learn(usOf(node, []));
        program(node, peer, { disco: peer.discoKey, endpoints: peer.endpoints });
      }
    });

    afterAll(async () => {
      first?.kill();
      second?.kill();
      echo?.close();
      await node?.close();
    });

    it("answers the handshake that we begin, and then carries echoes both ways", async () => {
      await icmpEcho(node, first);
      expect(heard.get(first.nodeKey)![0]).toBe(2);
      await first.icmpEcho(OURS);
      expect(await stream(node, first)).toEqual(numbers);
      expect(await first.stream(OURS, ECHO_PORT, STREAM, WINDOW)).toEqual(numbers);
    });

    it("begins a handshake that we answer, and then carries echoes both ways", async () => {
      expect(heard.get(second.nodeKey)).toBeUndefined();
      await second.icmpEcho(OURS);
      expect(heard.get(second.nodeKey)![0]).toBe(1);
      await icmpEcho(node, second);
      expect(await second.stream(OURS, ECHO_PORT, STREAM, WINDOW)).toEqual(numbers);
      expect(await stream(node, second)).toEqual(numbers);
    });

    it("agrees with our path report that nothing is direct, and pings us through the relay", async () => {
      for (const peer of [first, second]) {
        const { path, directBlocked } = node.pathReport(peer.nodeKey);
        expect({ path, directBlocked }).toEqual({ path: relayed, directBlocked: "this-client" });
        expect(await peer.path()).toMatchObject({ address: "", relay: "t" });
        const pong = await peer.discoPing();
        expect({ region: pong.region, endpoint: pong.endpoint, error: pong.error }).toEqual({ region: REGION });
      }
    });

    it("answers our pings through the relay", async () => {
      const pong = await node.discoPing(first.nodeKey, { signal: AbortSignal.timeout(ANSWER_MS) });
      expect(pong.path).toEqual(relayed);
    });
  });

  describe("when the coordinator publishes disco keys and endpoints only later", () => {
    let node: TailnetNode;
    let peer: MagicPeer;
    let echo: UdpSocket;
    const kind = (): string | undefined => node.pathReport(peer.nodeKey).path?.kind;

    beforeAll(async () => {
      node = await network.openNode(OURS);
      echo = echoOn(node);
      peer = await MagicPeer.start("fd7a:115c:a1e0::4", network);
      await peer.learn(usOf(node, []));
      program(node, peer, { disco: "", endpoints: [] });
    });

    afterAll(async () => {
      vi.restoreAllMocks();
      peer?.kill();
      echo?.close();
      await node?.close();
    });

    it("is reached by relay at first", async () => {
      await icmpEcho(node, peer);
      expect(await stream(node, peer)).toEqual(numbers);
      expect(await peer.stream(OURS, ECHO_PORT, STREAM, WINDOW)).toEqual(numbers);
      expect(kind()).toBe("relayed");
      expect(await peer.path()).toMatchObject({ address: "", relay: "t" });
    });

    it("becomes direct on both sides while a counted stream loses nothing", async () => {
      const over = new AbortController();
      using sender = new Sender(node, peer);
      const whole = oneByOne(sender, over.signal);
      try {
        await until("datagrams by relay", () => sender.answers.length >= 20);
        expect(kind()).toBe("relayed");
        await peer.learn(usOf(node, node.self()!.endpoints));
        program(node, peer, { disco: peer.discoKey, endpoints: peer.endpoints });
        await until("a direct path of ours", () => kind() === "direct");
        await until("a direct path of the stock peer", async () => (await peer.path()).address !== "");
        const sent = sender.sent;
        await until("datagrams by the direct path", () => sender.answers.length >= sent + 20);
      } finally {
        over.abort();
        await whole;
      }
      expect(sender.answers).toEqual(Array.from({ length: sender.sent }, (_, i) => i));
    });

    it("keeps every datagram and their order on the direct path, in both directions", async () => {
      const relayPackets = vi.spyOn(node.driver.engine, "handleRelayPacket");
      expect(await stream(node, peer)).toEqual(numbers);
      expect(await peer.stream(OURS, ECHO_PORT, STREAM, WINDOW)).toEqual(numbers);
      const wireguard = relayPackets.mock.calls.filter(([, , bytes, offset]) => bytes[offset]! <= 4);
      expect(wireguard).toEqual([]);
      relayPackets.mockRestore();
    });

    it("reports our address, not the relay, as what answered its ping", async () => {
      const pong = await peer.discoPing();
      const { ipv4, ipv6 } = node.driver.udpPorts;
      expect([ipv4, ipv6]).toContain(parseAddrPort(pong.endpoint!)?.port);
      expect(pong.region ?? 0).toBe(0);
    });

    it("answers our ping with our address as it sees it", async () => {
      const opened = vi.spyOn(nodeCryptoSuite, "openBox");
      const pong = await node.discoPing(peer.nodeKey, { signal: AbortSignal.timeout(ANSWER_MS) });
      const path = pong.path.kind === "direct" ? parseAddrPort(pong.path.endpoint) : undefined;
      expect(path).toBeDefined();
      // Its IPv6 socket is a different one, whose port is not published.
      if (isIpv4(path!.address)) expect(path!.port).toBe(peer.udpPort);
      const sources = opened.mock.results.flatMap(({ value }) => {
        const message = value === undefined ? undefined : parseDiscoMessage(value as Uint8Array);
        return message?.kind === "pong" ? [formatAddrPort(message.source)] : [];
      });
      opened.mockRestore();
      // On one machine a datagram comes from the address to which it is sent.
      expect(sources).toContain(formatAddrPort(ourSide(node, path!)));
    });

    it("continues by relay when the direct path fails, and is direct again when it comes back", async () => {
      const revive = cutDirectPath(node);
      await until("an answer by relay", async () => (await exchange(node, peer)) && kind() === "relayed");
      expect((await peer.discoPing()).region).toBe(REGION);
      expect(await peer.path()).toMatchObject({ address: "", relay: "t" });
      expect(await stream(node, peer)).toEqual(numbers);
      expect(await peer.stream(OURS, ECHO_PORT, STREAM, WINDOW)).toEqual(numbers);
      expect(kind()).toBe("relayed");
      revive();
      await until("a direct path again", async () => (await exchange(node, peer)) && kind() === "direct");
      await until("a direct path of the stock peer again", async () => (await peer.path()).address !== "");
      expect(await stream(node, peer)).toEqual(numbers);
      expect(await peer.stream(OURS, ECHO_PORT, STREAM, WINDOW)).toEqual(numbers);
    });
  });

  describe("when endpoints are sent only by CallMeMaybe", () => {
    let node: TailnetNode;
    const peers: MagicPeer[] = [];

    /** A peer whose endpoints our coordinator does not publish. */
    const start = async (address: string, ourEndpoints: readonly string[]): Promise<MagicPeer> => {
      const peer = await MagicPeer.start(address, network);
      peers.push(peer);
      await peer.learn(usOf(node, ourEndpoints));
      program(node, peer, { disco: peer.discoKey, endpoints: [] });
      return peer;
    };
    const becomesDirect = async (peer: MagicPeer): Promise<void> => {
      await until("a direct path of ours", () => node.pathReport(peer.nodeKey).path?.kind === "direct");
      await until("a direct path of the stock peer", async () => (await peer.path()).address !== "");
      expect(await stream(node, peer)).toEqual(numbers);
    };

    beforeAll(async () => {
      node = await network.openNode(OURS);
    });

    afterAll(async () => {
      for (const peer of peers) peer.kill();
      await node?.close();
    });

    it("finds us by our call", async () => {
      const peer = await start("fd7a:115c:a1e0::5", []);
      await icmpEcho(node, peer);
      await becomesDirect(peer);
    });

    it("calls us, and we read which endpoints it has", async () => {
      const peer = await start("fd7a:115c:a1e0::6", node.self()!.endpoints);
      await peer.icmpEcho(OURS);
      const called = (): string[] =>
        node
          .pathReport(peer.nodeKey)
          .candidates.filter(({ sources }) => sources.includes("call-me-maybe"))
          .map(({ endpoint }) => endpoint);
      await until("a call", () => called().length > 0);
      expect(called().toSorted()).toEqual([...peer.endpoints].toSorted());
      await becomesDirect(peer);
    });
  });
});

/** Our node, as the stock peer's coordinator publishes it. */
function usOf({ driver }: TailnetNode, endpoints: readonly string[]) {
  return { node: hexEncode(driver.engine.publicKey), disco: hexEncode(driver.engine.discoKey!), addr: OURS, endpoints };
}

/** The stock peer's node, as our coordinator publishes it; its id here is derived from its key. */
function program(node: TailnetNode, peer: MagicPeer, known: { disco: string; endpoints: readonly string[] }): void {
  const info: NodeInfo = {
    id: 2n,
    asOfUnixMs: 0,
    key: hexDecode(peer.nodeKey),
    disco: known.disco === "" ? "" : `discokey:${known.disco}`,
    preferredDerp: REGION,
    derpLatency: new Map(),
    derpForcedWebsocket: new Map(),
    addresses: [`${peer.address}/128`],
    allowedIps: [`${peer.address}/128`],
    endpoints: known.endpoints,
  };
  expect(node.handlePeerUpdates([{ kind: "node", id: peer.nodeKey, node: info }])).toEqual([peer.nodeKey]);
}

/** Our UDP echo inside the tunnel. */
function echoOn({ driver }: TailnetNode): UdpSocket {
  const socket: UdpSocket = driver.engine.netstack.bindUdp(
    { port: ECHO_PORT },
    {
      onDatagram: (payload, from, _to, now) => {
        socket.send(from, payload, now);
        driver.wake();
      },
    },
  );
  return socket;
}

async function icmpEcho(node: TailnetNode, peer: MagicPeer): Promise<void> {
  const rtt = await pingTunnel(node.driver, "icmp", ip(peer.address), { signal: AbortSignal.timeout(15_000) });
  expect(rtt).toBeGreaterThan(0);
}

/**
 * Sends numbered datagrams of different lengths to the stock peer's echo, and records the answered numbers in order of arrival.
 */
class Sender implements Disposable {
  readonly answers: number[] = [];
  readonly #node: TailnetNode;
  readonly #remote: AddrPort;
  readonly #socket: UdpSocket;
  sent = 0;

  constructor(node: TailnetNode, peer: MagicPeer) {
    this.#node = node;
    this.#remote = { address: ip(peer.address), port: ECHO_PORT };
    this.#socket = node.driver.engine.netstack.bindUdp(
      { port: 0 },
      { onDatagram: (payload) => void this.answers.push(numberIn(payload)) },
    );
  }

  send(): void {
    const payload = new Uint8Array(4 + ((this.sent * 37) % 1000)).fill(this.sent % 256);
    new DataView(payload.buffer).setUint32(0, this.sent++);
    expect(this.#socket.send(this.#remote, payload, monotonicNow())).toBe("sent");
    this.#node.driver.wake();
  }

  /** Waits until at most `unanswered` datagrams are unanswered; returns false after `limitMs`. */
  async answered(unanswered: number, limitMs: number): Promise<boolean> {
    for (const end = performance.now() + limitMs; this.sent - this.answers.length > unanswered; await sleep(1))
      if (performance.now() > end) return false;
    return true;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** The number in a datagram, or -1 if its content is not what was sent with that number. */
function numberIn(payload: Uint8Array): number {
  const number = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
  const whole =
    payload.length === 4 + ((number * 37) % 1000) && payload.subarray(4).every((byte) => byte === number % 256);
  return whole ? number : -1;
}

async function stream(node: TailnetNode, peer: MagicPeer): Promise<readonly number[]> {
  using sender = new Sender(node, peer);
  while (sender.sent < STREAM && (await sender.answered(WINDOW - 1, ANSWER_MS))) sender.send();
  await sender.answered(0, ANSWER_MS);
  return sender.answers;
}

/** Sends one datagram at a time, so that a switch to a faster path cannot change the order. */
async function oneByOne(sender: Sender, signal: AbortSignal): Promise<void> {
  for (; !signal.aborted && (await sender.answered(0, ANSWER_MS)); await sleep(2)) sender.send();
  await sender.answered(0, ANSWER_MS);
}

/** Sends one datagram and returns whether it was answered soon. */
async function exchange(node: TailnetNode, peer: MagicPeer): Promise<boolean> {
  using sender = new Sender(node, peer);
  sender.send();
  return await sender.answered(0, 300); // awaited here, because the socket closes on return
}

/** Our address on the path to `remote`, both being on this machine. */
function ourSide({ driver }: TailnetNode, remote: AddrPort): AddrPort {
  const { ipv4, ipv6 } = driver.udpPorts;
  return { address: remote.address, port: isIpv4(remote.address) ? ipv4! : ipv6! };
}

/** Drops what our UDP sockets send and receive, like a firewall. Returns a function that stops this. */
function cutDirectPath({ driver }: TailnetNode): () => void {
  const ports = new Set([driver.udpPorts.ipv4, driver.udpPorts.ipv6]);
  const send = Socket.prototype.send as (this: Socket, ...args: unknown[]) => void;
  const spies: { mockRestore(): void }[] = [
    vi.spyOn(driver.engine, "handleDatagram").mockImplementation(() => undefined),
    vi.spyOn(driver.engine, "handleTransportSlot").mockImplementation((_from, slot) => driver.cipher.rx.release(slot)),
    vi.spyOn(Socket.prototype, "send").mockImplementation(function (this: Socket, ...args: unknown[]) {
      const callback = args.at(-1);
      if (!ports.has(this.address().port)) send.apply(this, args);
      else if (typeof callback === "function") setImmediate(() => callback(null, 0));
    }),
  ];
  const native = loadUdpBatch();
  if (native !== undefined) {
    const { send: sendBatch, sendOne } = native;
    spies.push(
      vi
        .spyOn(native, "send")
        .mockImplementation((socket, records, count, addresses) =>
          ports.has(native.port(socket)) ? count : sendBatch(socket, records, count, addresses),
        ),
      vi
        .spyOn(native, "sendOne")
        .mockImplementation((socket, datagram, address, hopLimit, whole) =>
          ports.has(native.port(socket)) ? true : sendOne(socket, datagram, address, hopLimit, whole),
        ),
    );
  }
  return () => {
    for (const spy of spies) spy.mockRestore();
  };
}
