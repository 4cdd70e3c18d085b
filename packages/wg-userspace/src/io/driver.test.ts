import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { ip } from "../base/ip.ts";
import { clampPrivateKey, nodePrivateKey } from "../base/keys.ts";
import { Driver, type DriverOptions } from "./driver.ts";
import { nodeRandom } from "./host/crypto-suite.ts";
import { directRelayDialer } from "./relay/relay-dialer.ts";
import type { TcpStream } from "./sockets/tcp-stream.ts";
import { connectTunnelTcp, listenTunnelTcp, pingTunnel } from "./sockets/tcp-tunnel.ts";

const open: Driver[] = [];
afterEach(async () => {
  for (const driver of open.splice(0)) await driver.close();
});

type Sizes = Pick<DriverOptions, "mtu" | "unmeasuredMtu">;

async function openDriver(address: string, sizes: Sizes = {}): Promise<Driver> {
  const driver = await Driver.open({
    ...sizes,
    privateKey: nodePrivateKey(clampPrivateKey(nodeRandom.bytes(32))),
    addresses: [ip(address)],
    udpPort: 0,
    relay: { dialer: directRelayDialer },
  });
  open.push(driver);
  return driver;
}

/** Two drivers that know each other's loopback UDP address. */
async function pair(a = "fd7a::1", b = "fd7a::2", sizes: Sizes = {}): Promise<[Driver, Driver]> {
  const [one, two] = [await openDriver(a, sizes), await openDriver(b, sizes)];
  const bits = ip(a).length * 8;
  one.setPeer({
    publicKey: two.engine.publicKey,
    allowedIPs: [{ address: ip(b), bits }],
    udpEndpoints: [{ address: ip("127.0.0.1"), port: two.udpPorts.ipv4! }],
  });
  two.setPeer({ publicKey: one.engine.publicKey, allowedIPs: [{ address: ip(a), bits }] });
  return [one, two];
}

function accepted(driver: Driver, port: number): Promise<TcpStream> {
  return new Promise((resolve) => listenTunnelTcp(driver, port, resolve));
}

const ROUND_TRIPS = 200;

async function inTurn(times: number, action: () => Promise<unknown>): Promise<void> {
  for (let count = 0; count < times; count++) await action();
}

async function digest(stream: TcpStream): Promise<string> {
  const hash = createHash("sha256");
  // The iterator would destroy the stream, and its other direction, at the end.
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

describe("Driver over loopback UDP", () => {
  it.each([
    ["IPv6", "fd7a::1", "fd7a::2"],
    ["IPv4", "10.9.0.1", "10.9.0.2"],
  ])("carries a TCP connection over %s both ways, byte for byte, with half close", async (_family, a, b) => {
    const [one, two] = await pair(a, b);
    const serverSide = accepted(two, 8080);
    const client = await connectTunnelTcp(one, { address: ip(b), port: 8080 }, { signal: AbortSignal.timeout(10_000) });
    const server = await serverSide;
    const up = randomBytes(8 * 1024 * 1024);
    const down = randomBytes(4 * 1024 * 1024);
    const results = Promise.all([digest(server), digest(client)]);
    client.end(up);
    server.end(down);
    expect(await results).toEqual([up, down].map((data) => createHash("sha256").update(data).digest("hex")));
    expect(two.engine.peers()[0]?.path).toMatchObject({ kind: "udp" });
  });

  it.each([
    [{}, 1280],
    [{ mtu: 8920 }, 8920],
    [{ mtu: 8920, unmeasuredMtu: 1420 }, 1420],
    [{ mtu: 65_456 }, 65_456],
  ])("sends a peer without disco what %j allows", async (sizes, mtu) => {
    const [one, two] = await pair("10.9.0.1", "10.9.0.2", sizes);
    const serverSide = accepted(two, 8080);
    const to = { address: ip("10.9.0.2"), port: 8080 };
    const client = await connectTunnelTcp(one, to, { signal: AbortSignal.timeout(10_000) });
    const received = digest(await serverSide);
    const data = randomBytes(1024 * 1024);
    let largest = 0;
    one.engine.packetTap = (_bytes, _offset, length) => {
      largest = Math.max(largest, length);
    };
    client.end(data);
    expect(await received).toBe(createHash("sha256").update(data).digest("hex"));
    expect(largest).toBe(mtu);
  });

  it("refuses a connection to a port without a listener", async () => {
    const [one] = await pair();
    await expect(
      connectTunnelTcp(one, { address: ip("fd7a::2"), port: 9 }, { signal: AbortSignal.timeout(10_000) }),
    ).rejects.toMatchObject({
      code: "ERR_CONNECTION_REFUSED",
    });
  });

  it("a connection that is reset before it is used ends on its own, with the reason", async () => {
    const [one, two] = await pair();
    listenTunnelTcp(two, 8080, (stream) => stream.once("connect", () => stream.destroy()));
    const client = await connectTunnelTcp(
      one,
      { address: ip("fd7a::2"), port: 8080 },
      { signal: AbortSignal.timeout(10_000) },
    );
    if (!client.closed) await new Promise<void>((resolve) => client.once("close", resolve));
    expect(client.errored).toMatchObject({ code: "ERR_CONNECTION_RESET" });
  });

  it("answers TSMP and ICMP pings", async () => {
    const [one] = await pair();
    for (const kind of ["tsmp", "icmp"] as const) {
      const signal = AbortSignal.timeout(10_000);
      expect(await pingTunnel(one, kind, ip("fd7a::2"), { signal })).toBeGreaterThan(0);
    }
  });

  it("closes the window on a reader that does not read, and keeps memory bounded", async () => {
    const [one, two] = await pair();
    const serverSide = accepted(two, 8080);
    const client = await connectTunnelTcp(
      one,
      { address: ip("fd7a::2"), port: 8080 },
      { maxSendBufferBytes: 1 << 20, maxReceiveBufferBytes: 1 << 20 },
    );
    const server = await serverSide;
    server.pause();
    const chunk = randomBytes(64 * 1024);
    let written = 0;
    while (written < 64 * 1024 * 1024) {
      written += chunk.length;
      if (!client.write(chunk)) {
        // Pings run beside the data: once many were answered and nothing more was written, the window is closed.
        const drained = await Promise.race([
          once(client, "drain").then(() => true),
          inTurn(ROUND_TRIPS, () =>
            pingTunnel(one, "tsmp", ip("fd7a::2"), { signal: AbortSignal.timeout(20_000) }),
          ).then(() => false),
        ]);
        if (!drained) break;
      }
    }
    expect(written).toBeLessThan(40 * 1024 * 1024);
    expect(server.readableLength).toBeLessThan(2 * 1024 * 1024);
    let received = 0;
    server.on("data", (data: Buffer) => {
      received += data.length;
    });
    client.end();
    server.resume();
    await once(server, "end");
    expect(received).toBe(written);
  });

  it("rejects with the signal's reason when connecting is aborted", async () => {
    const one = await openDriver("fd7a::1");
    const reason = new Error("enough");
    await expect(
      connectTunnelTcp(one, { address: ip("fd7a::2"), port: 1 }, { signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    const cancel = new AbortController();
    const connecting = connectTunnelTcp(one, { address: ip("fd7a::2"), port: 1 }, { signal: cancel.signal });
    cancel.abort(reason);
    await expect(connecting).rejects.toBe(reason);
  });
});
