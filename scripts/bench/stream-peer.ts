/**
 * One end of a throughput measurement, in a process of its own: the engine over UDP or a relay, or plain sockets of the
 * operating system. Driven by JSON lines, see processes.ts.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import type { Duplex } from "node:stream";
import { hexDecode, hexEncode } from "../../packages/wg-userspace/src/base/bytes.ts";
import { ip } from "../../packages/wg-userspace/src/base/ip.ts";
import { clampPrivateKey, nodePrivateKey, nodePublicKey } from "../../packages/wg-userspace/src/base/keys.ts";
import { derpMapOf, relayNode } from "../../packages/wg-userspace/src/derp/map.ts";
import { Driver } from "../../packages/wg-userspace/src/io/driver.ts";
import { nodeRandom } from "../../packages/wg-userspace/src/io/host/crypto-suite.ts";
import { directRelayDialer } from "../../packages/wg-userspace/src/io/relay/relay-dialer.ts";
import { connectTunnelTcp, listenTunnelTcp } from "../../packages/wg-userspace/src/io/sockets/tcp-tunnel.ts";
import { loadUdpBatch } from "../../packages/wg-userspace/src/io/udp/udp-batch.ts";
import { answerRequests } from "./processes.ts";
import { drainRate, flood, pour, sampleRate } from "./pump.ts";

const TUNNEL_PORT = 7000;
const REGION = 1;

let driver: Driver | undefined;
let incoming = Promise.withResolvers<Duplex>();
/** The measured stream, and its result. */
let stream: Duplex | undefined;
let pumping: Promise<object> = Promise.resolve({});

await answerRequests({
  async openEngine(request) {
    driver = await Driver.open({
      privateKey: nodePrivateKey(clampPrivateKey(nodeRandom.bytes(32))),
      addresses: [ip(String(request["address"]))],
      relay: { dialer: directRelayDialer, forceWebSocket: request["webSocket"] === true },
      udpPort: request["relayPort"] === undefined ? 0 : undefined,
      mtu: request["mtu"] === undefined ? undefined : Number(request["mtu"]),
    });
    if (request["relayPort"] !== undefined) await useRelay(driver, Number(request["relayPort"]));
    listenTunnelTcp(driver, TUNNEL_PORT, (accepted) => incoming.resolve(accepted));
    const native = loadUdpBatch() !== undefined;
    return { publicKey: hexEncode(driver.engine.publicKey), udpPort: driver.udpPorts.ipv4, native };
  },

  async peer(request) {
    const udpPort = request["udpPort"];
    driver!.setPeer({
      publicKey: nodePublicKey(hexDecode(String(request["publicKey"]))),
      allowedIPs: [{ address: ip(String(request["address"])), bits: 128 }],
      homeRegion: udpPort === undefined ? REGION : undefined,
      udpEndpoints:
        udpPort === undefined ? undefined : [{ address: ip(String(request["udpHost"])), port: Number(udpPort) }],
    });
    return {};
  },

  /** A plain TCP listener; answers with its port. */
  async listen(request) {
    const server = createServer({ allowHalfOpen: true }, (socket) => incoming.resolve(socket));
    server.listen(Number(request["port"] ?? 0), String(request["host"]));
    await once(server, "listening");
    server.unref();
    return { port: (server.address() as AddressInfo).port };
  },

  async connectTunnel(request) {
    const remote = { address: ip(String(request["to"])), port: TUNNEL_PORT };
    stream = await connectTunnelTcp(driver!, remote, { signal: AbortSignal.timeout(10_000) });
    return {};
  },

  async connectPlain(request) {
    const socket = connect({ host: String(request["host"]), port: Number(request["port"]), allowHalfOpen: true });
    await once(socket, "connect");
    stream = socket;
    return {};
  },

  async accepted() {
    stream = await incoming.promise;
    incoming = Promise.withResolvers();
    return {};
  },

  /** Begins to send for `seconds`, or to receive until the other side ends. */
  async begin(request) {
    const current = stream!;
    const seconds = Number(request["seconds"]);
    const before = process.cpuUsage();
    const cpuSeconds = (): number => {
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1e6;
    };
    pumping =
      request["role"] === "send"
        ? Promise.all([pour(current, seconds), discard(current)]).then(([bytes]) => ({
            bytes,
            cpuSeconds: cpuSeconds(),
          }))
        : drainRate(current).then((received) => {
            current.end();
            return { ...received, cpuSeconds: cpuSeconds() };
          });
    return {};
  },

  /** The sender's side of `sample`. */
  async flood() {
    flood(stream!);
    return {};
  },
  async sample(request) {
    return { gbitPerSecond: await sampleRate(stream!, Number(request["warmUpSeconds"]), Number(request["seconds"])) };
  },
  /** Ends what `flood` began. */
  async cut() {
    stream!.destroy();
    return {};
  },

  async finish() {
    return { ...(await pumping), drops: driver?.engine.dropCounts() ?? {} };
  },
});
await driver?.close();
process.exit(0);

/** The other side confirms at the end that it has everything. */
async function discard(from: Duplex): Promise<void> {
  from.resume();
  await once(from, "end");
}

async function useRelay(opened: Driver, port: number): Promise<void> {
  const node = relayNode({ name: "1a", regionId: REGION, hostName: "127.0.0.1", derpPort: port, forceHttp: true });
  opened.relays.setMap(
    derpMapOf([
      { regionId: REGION, regionCode: "b", regionName: "Bench", embeddedRelay: false, avoid: false, nodes: [node] },
    ]),
  );
  opened.relays.setHome(REGION);
  for (const end = performance.now() + 10_000; opened.relays.homeState !== "ready"; ) {
    if (performance.now() > end)
      throw new Error(`the relay is ${opened.relays.homeState}: ${opened.relays.homeError?.message ?? ""}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
