import { afterEach, describe, expect, it } from "vitest";
import { type Host, Pair } from "../../../test/scenarios/tcp-harness.ts";
import { type AddrPort, formatAddrPort, ip } from "../../base/ip.ts";
import { clampPrivateKey, nodePrivateKey } from "../../base/keys.ts";
import { UDP_QUEUE_DATAGRAMS } from "../../netstack/udp.ts";
import { Driver } from "../driver.ts";
import { nodeRandom } from "../host/crypto-suite.ts";
import { directRelayDialer } from "../relay/relay-dialer.ts";
import {
  bindTunnelUdp,
  setTunnelUdpFallback,
  type TunnelUdpDriver,
  type TunnelUdpHandler,
} from "./udp-tunnel-socket.ts";

const deaf: TunnelUdpHandler = { onMessage: () => undefined };

/** A stack of the in-memory pair as a driver; the pair flushes. */
function driverOf(host: Host): TunnelUdpDriver & { wakes: number } {
  return {
    engine: { netstack: host.stack },
    wakes: 0,
    wake() {
      this.wakes++;
    },
  };
}

function codeOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}

describe("UDP sockets of the tunnel over an in-memory link", () => {
  it.each([4, 6] as const)(
    "carry datagrams both ways over IPv%i, from none to all that eight packets carry",
    (family) => {
      const pair = new Pair({ delayMs: 5 }, { family });
      const [a, b] = [driverOf(pair.a), driverOf(pair.b)];
      const heard: { bytes: Uint8Array; from: string }[] = [];
      const echo = bindTunnelUdp(b, 7, { onMessage: (payload, from) => void echo.send(payload, from) });
      const client = bindTunnelUdp(a, 0, {
        onMessage: (payload, from) => void heard.push({ bytes: payload.slice(), from: formatAddrPort(from) }),
      });
      const to = { address: pair.b.address, port: 7 };
      const most = 8 * ((1280 - (family === 4 ? 20 : 48)) & ~7) - 8;
      expect(client.maxPayload(to)).toBe(most);
      const sent = [0, 1, 500, most].map((length) => Uint8Array.from({ length }, (_, i) => i & 255));
      for (const payload of sent) expect(client.send(payload, to)).toBe(true);
      expect(a.wakes).toBe(sent.length);
      pair.runFor(100);
      expect(heard.map(({ bytes }) => bytes)).toEqual(sent);
      expect(new Set(heard.map(({ from }) => from))).toEqual(new Set([formatAddrPort(to)]));
    },
  );

  it("refuse a larger datagram and name its size and the limit", () => {
    const pair = new Pair({ delayMs: 5 });
    using client = bindTunnelUdp(driverOf(pair.a), 0, deaf);
    const to = { address: pair.b.address, port: 7 };
    expect(codeOf(() => client.send(new Uint8Array(9849), to))).toBe("ERR_MESSAGE_TOO_LARGE");
    expect(() => client.send(new Uint8Array(65507), to)).toThrow(
      "a datagram of 65507 bytes to [fd00::2]:7 is over the 9848 bytes that the tunnel carries",
    );
  });

  it("name a wrong argument or state by code", () => {
    const pair = new Pair({ delayMs: 5 });
    const a = driverOf(pair.a);
    const socket = bindTunnelUdp(a, 53, deaf);
    const to = { address: pair.b.address, port: 7 };
    expect(codeOf(() => bindTunnelUdp(a, 53, deaf))).toBe("ERR_ADDRESS_IN_USE");
    expect(codeOf(() => bindTunnelUdp(a, 65536, deaf))).toBe("ERR_INVALID_ARGUMENT");
    expect(codeOf(() => socket.send(new Uint8Array(1), { ...to, port: 0 }))).toBe("ERR_INVALID_ARGUMENT");
    expect(codeOf(() => socket.send(new Uint8Array(1), { address: ip("10.0.0.2"), port: 7 }))).toBe(
      "ERR_ADDRESS_NOT_AVAILABLE",
    );
    socket.close();
    socket.close();
    expect([socket.closed, codeOf(() => socket.send(new Uint8Array(1), to))]).toEqual([true, "ERR_CLOSED"]);
    {
      using again = bindTunnelUdp(a, 53, deaf);
      expect(again.port).toBe(53);
    }
    bindTunnelUdp(a, 53, deaf).close();
  });

  it("learn that there is no listener", () => {
    const pair = new Pair({ delayMs: 5 });
    const unreachable: string[] = [];
    const client = bindTunnelUdp(driverOf(pair.a), 0, {
      ...deaf,
      onUnreachable: (remote) => void unreachable.push(formatAddrPort(remote)),
    });
    client.send(new Uint8Array(3), { address: pair.b.address, port: 9 });
    pair.runFor(100);
    expect(unreachable).toEqual(["[fd00::2]:9"]);
  });

  it("queue in order the datagrams beyond a turn, and drop the newest when the queue is full", () => {
    const pair = new Pair({ delayMs: 5 }, { slots: 4 });
    const heard: number[] = [];
    bindTunnelUdp(driverOf(pair.b), 7, { onMessage: (payload) => void heard.push(payload[0]! * 256 + payload[1]!) });
    const client = bindTunnelUdp(driverOf(pair.a), 0, deaf);
    const to = { address: pair.b.address, port: 7 };
    const taken = Array.from({ length: 300 }, (_, i) => client.send(Uint8Array.of(i >> 8, i & 255), to));
    expect(taken).toEqual(Array.from({ length: 300 }, (_, i) => i < 4 + UDP_QUEUE_DATAGRAMS));
    expect(client.queued).toBe(UDP_QUEUE_DATAGRAMS);
    pair.runFor(100);
    expect(heard).toEqual(Array.from({ length: 4 + UDP_QUEUE_DATAGRAMS }, (_, i) => i));
    expect(client.queued).toBe(0);
  });

  it("take turns with each other and with a TCP connection with much to send", () => {
    const pair = new Pair({ delayMs: 5 }, { slots: 4 });
    const [connection, accepted] = pair.connect();
    const heard = [0, 0];
    const order: number[] = [];
    const tcpBytesAt: number[] = [];
    for (const index of [0, 1]) {
      bindTunnelUdp(driverOf(pair.b), 7 + index, {
        onMessage: () => {
          heard[index]!++;
          order.push(index);
          tcpBytesAt.push(accepted.readableLength);
        },
      });
    }
    for (const index of [0, 1]) {
      const socket = bindTunnelUdp(driverOf(pair.a), 0, deaf);
      for (let i = 0; i < 100; i++) socket.send(new Uint8Array(1000), { address: pair.b.address, port: 7 + index });
    }
    const written = connection.write(new Uint8Array(50_000));
    pair.runFor(2_000);
    expect(heard).toEqual([100, 100]);
    expect(order.slice(0, 20)).toContain(1);
    expect(tcpBytesAt.at(-1)).toBeGreaterThan(0);
    expect(accepted.readableLength).toBe(written);
  });

  it("discard queued datagrams when they are closed", () => {
    const pair = new Pair({ delayMs: 5 }, { slots: 2 });
    let heard = 0;
    bindTunnelUdp(driverOf(pair.b), 7, { onMessage: () => void heard++ });
    const client = bindTunnelUdp(driverOf(pair.a), 0, deaf);
    for (let i = 0; i < 10; i++) client.send(new Uint8Array(1), { address: pair.b.address, port: 7 });
    client.close();
    pair.runFor(100);
    expect(heard).toBe(2);
  });
});

describe("the fallback for unbound ports", () => {
  it.each([4, 6] as const)("accepts datagrams to any port and answers from it over IPv%i", (family) => {
    const pair = new Pair({ delayMs: 5 }, { family });
    const fallback = setTunnelUdpFallback(driverOf(pair.b), {
      onDatagram: ({ payload, local, remote }) => local.port !== 99 && fallback.send(payload, local, remote),
    });
    const heard: string[] = [];
    const client = bindTunnelUdp(driverOf(pair.a), 0, {
      onMessage: (payload, from) => void heard.push(`${payload.join()} from ${from.port}`),
      onUnreachable: (remote) => void heard.push(`unreachable ${remote.port}`),
    });
    for (const port of [5000, 6000, 99]) client.send(Uint8Array.of(1, 2), { address: pair.b.address, port });
    pair.runFor(100);
    expect(heard.sort()).toEqual(["1,2 from 5000", "1,2 from 6000", "unreachable 99"]);
    fallback.close();
    heard.length = 0;
    client.send(Uint8Array.of(1), { address: pair.b.address, port: 5000 });
    pair.runFor(100);
    expect(heard).toEqual(["unreachable 5000"]);
    expect(codeOf(() => fallback.send(Uint8Array.of(1), client as never, client as never))).toBe("ERR_CLOSED");
  });

  it.each([4, 6] as const)("can refuse a datagram after accepting it, over IPv%i", (family) => {
    const pair = new Pair({ delayMs: 5 }, { family });
    const taken: { local: AddrPort; remote: AddrPort; length: number }[] = [];
    const fallback = setTunnelUdpFallback(driverOf(pair.b), {
      onDatagram: ({ payload, local, remote }) => taken.push({ local, remote, length: payload.length }) > 0,
    });
    const heard: string[] = [];
    const client = bindTunnelUdp(driverOf(pair.a), 0, {
      ...deaf,
      onUnreachable: (remote) => void heard.push(formatAddrPort(remote)),
    });
    const to = { address: pair.b.address, port: 5000 };
    client.send(new Uint8Array(1000), to);
    pair.runFor(100);
    expect([taken.length, heard]).toEqual([1, []]);
    fallback.refuse(taken[0]!.local, taken[0]!.remote, taken[0]!.length);
    pair.runFor(100);
    expect(heard).toEqual([formatAddrPort(to)]);
    expect(pair.a.stack.drops.counts).toEqual({});
  });

  it("learns when its answer is unreachable", () => {
    const pair = new Pair({ delayMs: 5 });
    const heard: string[] = [];
    const fallback = setTunnelUdpFallback(driverOf(pair.b), {
      onDatagram: () => true,
      onUnreachable: (local, remote) => void heard.push(`${formatAddrPort(local)} → ${formatAddrPort(remote)}`),
    });
    fallback.send(Uint8Array.of(1), { address: pair.b.address, port: 5000 }, { address: pair.a.address, port: 40000 });
    pair.runFor(100);
    expect(heard).toEqual(["[fd00::2]:5000 → [fd00::1]:40000"]);
  });
});

describe("UDP sockets of two drivers over loopback", () => {
  const open: Driver[] = [];
  afterEach(async () => {
    for (const driver of open.splice(0)) await driver.close();
  });

  async function openDriver(address: string): Promise<Driver> {
    const driver = await Driver.open({
      privateKey: nodePrivateKey(clampPrivateKey(nodeRandom.bytes(32))),
      addresses: [ip(address)],
      udpPort: 0,
      relay: { dialer: directRelayDialer },
    });
    open.push(driver);
    return driver;
  }

  it.each([
    ["IPv6", "fd7a::1", "fd7a::2", 1232],
    ["IPv4", "10.9.0.1", "10.9.0.2", 1252],
  ])("carry a burst larger than a turn over %s, encrypted", async (_family, a, b, most) => {
    const [one, two] = [await openDriver(a), await openDriver(b)];
    const bits = ip(a).length * 8;
    one.setPeer({
      publicKey: two.engine.publicKey,
      allowedIPs: [{ address: ip(b), bits }],
      udpEndpoints: [{ address: ip("127.0.0.1"), port: two.udpPorts.ipv4! }],
    });
    two.setPeer({ publicKey: one.engine.publicKey, allowedIPs: [{ address: ip(a), bits }] });
    const echo = bindTunnelUdp(two, 7, { onMessage: (payload, from) => void echo.send(payload, from) });
    const firstEcho = Promise.withResolvers<void>();
    const all = Promise.withResolvers<void>();
    const seen = new Set<number>();
    let wrong = 0;
    const client = bindTunnelUdp(one, 0, {
      onMessage: (payload) => {
        firstEcho.resolve();
        if (payload.length === 1) return;
        if (payload.length !== most || payload.some((byte) => byte !== payload[0])) wrong++;
        seen.add(payload[0]!);
        if (seen.size === 200) all.resolve();
      },
    });
    const to = { address: ip(b), port: 7 };
    client.send(Uint8Array.of(255), to); // the handshake has to be done first
    await firstEcho.promise;
    for (let i = 0; i < 200; i++) expect(client.send(new Uint8Array(most).fill(i), to)).toBe(true);
    await all.promise;
    expect(wrong).toBe(0);
  });
});
