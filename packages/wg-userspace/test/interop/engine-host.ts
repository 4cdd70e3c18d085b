/** Our engine as a process of its own: started inside a namespace, driven by JSON lines (RemoteScript). */
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { hexDecode, hexEncode } from "../../src/base/bytes.ts";
import { ip, parseAddrPort, parsePrefix } from "../../src/base/ip.ts";
import { nodePrivateKey, nodePublicKey } from "../../src/base/keys.ts";
import { Driver } from "../../src/io/driver.ts";
import { directRelayDialer } from "../../src/io/relay/relay-dialer.ts";
import type { TcpStream } from "../../src/io/sockets/tcp-stream.ts";
import { connectTunnelTcp, listenTunnelTcp, pingTunnel } from "../../src/io/sockets/tcp-tunnel.ts";
import { patternBytes } from "./pattern.ts";

interface Request {
  readonly do: "open" | "peer" | "handshake" | "ping" | "serve" | "fetch" | "status";
  readonly [key: string]: unknown;
}

let driver: Driver;
let sessions = 0;

const handlers: Readonly<Record<Request["do"], (request: Request) => Promise<unknown>>> = {
  async open(request) {
    driver = await Driver.open(
      {
        privateKey: nodePrivateKey(hexDecode(String(request["privateKey"]))),
        addresses: (request["addresses"] as string[]).map(ip),
        udpPort: Number(request["port"]),
        relay: { dialer: directRelayDialer },
      },
      {
        onEngineEvent: (event) => {
          if (event.kind === "session-established") sessions++;
        },
      },
    );
    return { publicKey: hexEncode(driver.engine.publicKey) };
  },
  async peer(request) {
    const endpoint = request["endpoint"] === undefined ? undefined : parseAddrPort(String(request["endpoint"]));
    driver.setPeer({
      publicKey: nodePublicKey(hexDecode(String(request["publicKey"]))),
      allowedIPs: (request["allowedIPs"] as string[]).flatMap((text) => parsePrefix(text) ?? []),
      udpEndpoints: endpoint === undefined ? undefined : [endpoint],
      presharedKey: request["presharedKey"] === undefined ? undefined : hexDecode(String(request["presharedKey"])),
    });
    return {};
  },
  async handshake() {
    for (const peer of driver.engine.peers()) driver.startHandshake(peer.publicKey);
    return {};
  },
  async ping(request) {
    const rttMs = await pingTunnel(driver, "icmp", ip(String(request["to"])), { signal: AbortSignal.timeout(15_000) });
    return { rttMs };
  },
  /** Answers every connection: reads to the end, then sends the digest of what came and a pattern of `bytes`. */
  async serve(request) {
    listenTunnelTcp(driver, Number(request["port"]), (stream) => void serveOne(stream, Number(request["bytes"])));
    return {};
  },
  fetch: exchange,
  async status() {
    const now = performance.now();
    return {
      drops: driver.engine.dropCounts(),
      peers: driver.engine.peers().map((peer) => ({
        rxBytes: peer.rxBytes,
        txBytes: peer.txBytes,
        handshakeAgeMs: peer.lastHandshakeAt === undefined ? undefined : now - peer.lastHandshakeAt,
      })),
    };
  },
};

/** Sends a pattern of `bytes`, half-closes, and returns the digest of the answer; with a new handshake in between. */
async function exchange(request: Request): Promise<unknown> {
  const stream = await connectTunnelTcp(
    driver,
    { address: ip(String(request["to"])), port: Number(request["port"]) },
    { signal: AbortSignal.timeout(15_000) },
  );
  const before = sessions;
  const rekeyAfterMs = request["rekeyAfterMs"];
  if (typeof rekeyAfterMs === "number") {
    setTimeout(() => {
      for (const peer of driver.engine.peers()) driver.startHandshake(peer.publicKey);
    }, rekeyAfterMs);
  }
  const sending = pour(stream, Number(request["bytes"]));
  const hash = createHash("sha256");
  let received = 0;
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    hash.update(chunk as Buffer);
    received += (chunk as Buffer).length;
  }
  await sending;
  return { received, sha256: hash.digest("hex"), rekeys: sessions - before };
}

async function serveOne(stream: TcpStream, bytes: number): Promise<void> {
  const hash = createHash("sha256");
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) hash.update(chunk as Buffer);
  stream.write(hash.digest());
  await pour(stream, bytes);
}

async function pour(stream: TcpStream, bytes: number): Promise<void> {
  for (const chunk of patternBytes(bytes)) {
    if (!stream.write(chunk)) await new Promise((resolve) => stream.once("drain", resolve));
  }
  stream.end();
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as Request;
  let answer: unknown;
  try {
    answer = await handlers[request.do](request);
  } catch (error) {
    answer = { error: String((error as Error).stack) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
