/**
 * One end of a measurement with many streams, in a process of its own: one engine or many, or plain sockets of the
 * operating system. The far side serves one port; the first byte of a stream selects its purpose. Driven by JSON lines,
 * see processes.ts.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { hexDecode, hexEncode } from "../../packages/wg-userspace/src/base/bytes.ts";
import { ip } from "../../packages/wg-userspace/src/base/ip.ts";
import { clampPrivateKey, nodePrivateKey, nodePublicKey } from "../../packages/wg-userspace/src/base/keys.ts";
import { Driver } from "../../packages/wg-userspace/src/io/driver.ts";
import { nodeRandom } from "../../packages/wg-userspace/src/io/host/crypto-suite.ts";
import { directRelayDialer } from "../../packages/wg-userspace/src/io/relay/relay-dialer.ts";
import { TcpStream } from "../../packages/wg-userspace/src/io/sockets/tcp-stream.ts";
import { connectTunnelTcp, listenTunnelTcp } from "../../packages/wg-userspace/src/io/sockets/tcp-tunnel.ts";
import { answerRequests } from "./processes.ts";

const TUNNEL_PORT = 7000;
const UP = 0x75;
const DOWN = 0x64;
const ECHO = 0x65;
const CHUNK = new Uint8Array(64 * 1024).fill(0x5a);
const QUESTION_BYTES = 64;
const ANSWER_WITHIN_MS = 20_000;

const drivers: Driver[] = [];
const bulk = new Set<Duplex>();
/** Where streams are dialled: round robin over the engines, or the operating system. */
let dial: (() => Promise<Duplex>) | undefined;
let next = 0;
/** Bytes of all bulk streams that arrived here. */
let received = 0;
let strangers = 1;
const quiet: Duplex[] = [];

await answerRequests({
  /** Opens one engine for each of `addresses`. */
  async openEngines(request) {
    for (const address of request["addresses"] as string[]) {
      const driver = await Driver.open({
        privateKey: nodePrivateKey(clampPrivateKey(nodeRandom.bytes(32))),
        addresses: [ip(address)],
        relay: { dialer: directRelayDialer },
        udpPort: 0,
        maxPeers: 2_048,
      });
      listenTunnelTcp(driver, TUNNEL_PORT, (stream) => void serve(stream));
      drivers.push(driver);
    }
    return {
      engines: drivers.map(({ engine, udpPorts }) => ({ key: hexEncode(engine.publicKey), port: udpPorts.ipv4 })),
    };
  },

  /** Adds these peers to every engine here. */
  async peers(request) {
    for (const { address, key, port } of request["peers"] as { address: string; key: string; port: number }[]) {
      for (const driver of drivers) {
        driver.setPeer({
          publicKey: nodePublicKey(hexDecode(key)),
          allowedIPs: [{ address: ip(address), bits: 128 }],
          udpEndpoints: [{ address: ip("127.0.0.1"), port }],
        });
      }
    }
    return {};
  },

  async listen(request) {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => void serve(socket));
    server.listen(0, String(request["host"]));
    await once(server, "listening");
    server.unref();
    return { port: (server.address() as AddressInfo).port };
  },

  async target(request) {
    const { host, port } = request as { host?: string; port?: number };
    dial = async () => {
      if (host === undefined) {
        const remote = { address: ip(String(request["tunnel"])), port: TUNNEL_PORT };
        return connectTunnelTcp(drivers[next++ % drivers.length]!, remote, {
          signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
        });
      }
      const socket = connect({ host, port: port!, noDelay: true });
      await once(socket, "connect");
      return socket;
    };
    return {};
  },

  /** Opens bulk streams that run until `end`. */
  async bulk(request) {
    const kind = request["direction"] === "up" ? UP : DOWN;
    for (let i = 0; i < Number(request["streams"]); i++) {
      const stream = await dial!();
      stream.on("error", () => undefined); // ended by us
      bulk.add(stream);
      stream.write(Uint8Array.of(kind));
      if (kind === UP) flood(stream);
      else drain(stream);
    }
    return {};
  },
  async end() {
    for (const stream of bulk) stream.destroy();
    bulk.clear();
    return {};
  },
  /** Bytes received so far, by this process's clock. */
  async count() {
    return { received, atMs: performance.now() };
  },

  /** Requests one after another over a stream of its own. Round trips in ms. */
  async ask(request) {
    const stream = await dial!();
    stream.write(Uint8Array.of(ECHO));
    const question = new Uint8Array(QUESTION_BYTES).fill(1);
    const roundTrips: number[] = [];
    const pauseMs = Number(request["pauseMs"]);
    for (const end = performance.now() + Number(request["seconds"]) * 1000; performance.now() < end; ) {
      const asked = performance.now();
      stream.write(question);
      await bytes(stream, QUESTION_BYTES);
      roundTrips.push(performance.now() - asked);
      await sleep(pauseMs);
    }
    stream.destroy();
    roundTrips.sort((a, b) => a - b);
    const at = (share: number): number => roundTrips[Math.floor(share * (roundTrips.length - 1))]!;
    return { p50: at(0.5), p99: at(0.99), count: roundTrips.length };
  },

  /** Adds peers that never send anything. */
  async strangers(request) {
    for (let i = 0; i < Number(request["count"]); i++) {
      drivers[0]!.setPeer({
        publicKey: nodePublicKey(nodeRandom.bytes(32)),
        allowedIPs: [{ address: ip(`fd7a::2:${(strangers++).toString(16)}`), bits: 128 }],
        udpEndpoints: [{ address: ip("127.0.0.1"), port: 9 }],
      });
    }
    return {};
  },
  /** Opens streams that never send anything. */
  async quiet(request) {
    for (let i = 0; i < Number(request["count"]); i++) {
      const stream = await dial!();
      stream.write(Uint8Array.of(ECHO));
      quiet.push(stream);
    }
    return {};
  },
  /** Bytes of heap and packet memory after a collection: needs --expose-gc. */
  async held() {
    for (let i = 0; i < 3; i++) {
      globalThis.gc!();
      await sleep(600); // buffers of paused streams are released after a second
    }
    const { heapUsed, external } = process.memoryUsage();
    return { held: heapUsed + external };
  },
});
for (const driver of drivers) await driver.close();
process.exit(0);

async function serve(stream: Duplex): Promise<void> {
  stream.on("error", () => undefined); // the other side may end streams at any time
  const [kind] = await bytes(stream, 1).catch(() => [0]);
  if (kind === UP) drain(stream);
  else if (kind === DOWN) flood(stream);
  else if (kind === ECHO) stream.pipe(stream);
  else stream.destroy();
}

function flood(stream: Duplex): void {
  const more = (): void => {
    while (!stream.destroyed && stream.write(CHUNK));
  };
  stream.on("drain", more);
  more();
}

function drain(stream: Duplex): void {
  stream.on("data", (chunk: Uint8Array) => {
    received += chunk.length;
    if (stream instanceof TcpStream) stream.giveBack(chunk);
  });
}

/** Reads exactly `length` bytes. */
async function bytes(stream: Duplex, length: number): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  for (;;) {
    const chunk = stream.read(length) as Uint8Array | null;
    if (chunk !== null) return chunk;
    await once(stream, "readable", { signal });
  }
}
