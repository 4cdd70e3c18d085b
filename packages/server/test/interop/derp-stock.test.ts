/** The stock DERP programs of tailscale.com: the stock relay carries our clients, and the stock client uses our relay. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Dialer } from "coder-client/dial/dialer";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { hexDecode, hexEncode } from "wg-userspace/base/bytes";
import { relayNode } from "wg-userspace/derp/map";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite as crypto, nodeRandom as random } from "wg-userspace/io/host/crypto-suite";
import { RelayConnection } from "wg-userspace/io/relay/relay-connection";
import { directRelayDialer } from "wg-userspace/io/relay/relay-dialer";
import { RelayListener } from "../../src/relay/relay-listener.ts";
import { RelayMesh, SiblingAddresses } from "../../src/relay/relay-mesh.ts";
import { firstUser, send, startServer } from "../helpers.ts";
import { nodeOf, TestPeer } from "../peers.ts";

const source = join(import.meta.dirname, "go");
const built = join(import.meta.dirname, "../../../../.build/interop");
const hasGo = ((): boolean => {
  try {
    execFileSync("go", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

interface Peer {
  readonly connection: RelayConnection;
  readonly publicKey: Uint8Array;
  readonly received: { from: string; length: number }[];
  readonly gone: string[];
}

describe.skipIf(!hasGo)(`stock DERP programs (missing here: ${hasGo ? "nothing" : "go"})`, () => {
  const children: ChildProcess[] = [];
  const closing: (() => Promise<unknown>)[] = [];

  beforeAll(() => {
    mkdirSync(built, { recursive: true });
    const build = (out: string, ...args: string[]): void => {
      execFileSync("go", ["build", "-o", join(built, out), ...args], {
        cwd: source,
        stdio: ["ignore", "ignore", "inherit"],
      });
    };
    build("derpecho", "-tags", "ts_debug_websockets", ".");
    build("derper", "tailscale.com/cmd/derper");
  }, 600_000);

  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });
  afterAll(() => {
    for (const child of children) child.kill("SIGKILL");
  });

  function peer(port: number, forceWebSocket: boolean, ca?: string): Peer {
    const privateKey = random.bytes(32);
    const received: Peer["received"] = [];
    const gone: string[] = [];
    const connection = new RelayConnection({
      region: {
        regionId: 1,
        regionCode: "t",
        regionName: "test",
        embeddedRelay: false,
        avoid: false,
        nodes: [
          ca === undefined
            ? relayNode({ name: "1a", regionId: 1, hostName: "127.0.0.1", derpPort: port, forceHttp: true })
            : relayNode({ name: "1a", regionId: 1, hostName: "localhost", derpPort: port }),
        ],
      },
      privateKey,
      publicKey: crypto.publicKey(privateKey),
      crypto,
      random,
      clock: monotonicNow,
      dial: ca === undefined ? directRelayDialer : new Dialer({ proxyFor: () => "", tls: { ca } }),
      forceWebSocket,
      handler: {
        onPacket: (_region, from, _bytes, _offset, length) => received.push({ from: hexEncode(from), length }),
        onPeerGone: (key) => gone.push(hexEncode(key)),
      },
    });
    closing.push(() => connection.close());
    return { connection, publicKey: crypto.publicKey(privateKey), received, gone };
  }

  async function freePort(): Promise<number> {
    const probe = createTcpServer();
    await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
    const { port } = probe.address() as AddressInfo;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }

  it("the stock relay carries our clients' packets, and reports when one has left", async () => {
    const port = await freePort();
    const args = [
      "-a",
      `127.0.0.1:${port}`,
      "-http-port",
      "-1",
      "-stun=false",
      "-hostname",
      "127.0.0.1",
      "-c",
      join(built, `derper-${process.pid}.json`),
    ];
    children.push(spawn(join(built, "derper"), args, { stdio: "ignore" }));
    const [a, b] = [peer(port, false), peer(port, false)];
    await until("both ready", () => a.connection.state === "ready" && b.connection.state === "ready");
    for (let i = 0; i < 30; i++) a.connection.send(b.publicKey, new Uint8Array(1000 + i), 0, 1000 + i);
    b.connection.send(a.publicKey, new Uint8Array(65_536), 0, 65_536);
    await until("packets", () => b.received.length === 30 && a.received.length === 1);
    expect(b.received.map(({ length }) => length)).toEqual(Array.from({ length: 30 }, (_, i) => 1000 + i));
    expect(a.received).toEqual([{ from: hexEncode(b.publicKey), length: 65_536 }]);
    await a.connection.close();
    await until("gone", () => b.gone.includes(hexEncode(a.publicKey)));
  });

  it("the stock relay asks the control plane which clients it may serve", async () => {
    const control = await startServer({
      flags: { "stun-address": "disable", "derp-server-stun-addresses": "disable" },
    });
    closing.push(async () => control[Symbol.asyncDispose]());
    const { token } = await firstUser(control.url);
    const { url } = (await send(control.url, "GET", "/api/v2/deployment/relay-admission", { token })).json;
    const port = await freePort();
    const args = [
      ["-a", `127.0.0.1:${port}`],
      ["-http-port", "-1"],
      ["-stun=false", "-hostname", "127.0.0.1"],
      ["-c", join(built, `derper-${process.pid}.json`)],
      ["-verify-client-url", url, "-verify-client-url-fail-open=false"],
    ];
    children.push(spawn(join(built, "derper"), args.flat(), { stdio: "ignore" }));
    const [known, stranger] = [peer(port, false), peer(port, false)];
    await using client = await TestPeer.open(control.url, token, "/api/v2/tailnet");
    // The coordinator accepts this address for a client.
    const node = nodeOf({ id: 5n, fill: 1, addresses: ["fd7a:115c:a1e0:1::5"] });
    client.send({ updateSelf: { node: { ...node, key: nodeKeyBytes(known.publicKey) } } });
    await until("the known one is served", () => known.connection.state === "ready");
    expect(stranger.connection.state).not.toBe("ready");
  });

  it.each([
    ["the raw upgrade", false],
    ["WebSocket", true],
  ])("our relay carries the stock client's packets over %s", async (_name, webSocket) => {
    const listener = new RelayListener({ privateKey: random.bytes(32), crypto, random, clock: monotonicNow });
    const server = createServer((request, response) => listener.handleRequest(request, response));
    server.on("upgrade", (request, socket, head) => listener.handleUpgrade(request, socket, head));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    closing.push(async () => {
      await listener.shutdown();
      server.close();
    });
    const echo = spawn(join(built, "derpecho"), ["-url", `http://127.0.0.1:${port}/derp`], {
      stdio: ["ignore", "pipe", "ignore"],
      env: { ...process.env, TS_DEBUG_DERP_WS_CLIENT: webSocket ? "1" : undefined },
    });
    children.push(echo);
    const [line] = await new Promise<string[]>((resolve) =>
      createInterface({ input: echo.stdout }).once("line", (text) => resolve([text])),
    );
    const echoKey = hexDecode(line!.replace("ready ", ""));
    const ours = peer(port, false);
    await until("ready", () => ours.connection.state === "ready");
    const lengths = [1, 62, 1200, 65_535, 65_536];
    for (const length of lengths) ours.connection.send(echoKey, new Uint8Array(length), 0, length);
    await until("echoes", () => ours.received.length === lengths.length);
    expect(ours.received).toEqual(lengths.map((length) => ({ from: hexEncode(echoKey), length })));
    expect(listener.metrics.webSocketConnections).toBe(webSocket ? 1 : 0);
  });

  it("a stock relay and ours form a mesh: each forwards to the clients of the other", async () => {
    const directory = mkdtempSync(join(tmpdir(), "mesh-"));
    closing.push(async () => rmSync(directory, { recursive: true }));
    const { cert: ca, key } = certificate(directory);
    const meshKey = hexEncode(random.bytes(32));
    writeFileSync(join(directory, "mesh.key"), `${meshKey}\n`, { mode: 0o600 });

    const privateKey = random.bytes(32).slice();
    const listener = new RelayListener({ privateKey, crypto, random, clock: monotonicNow, meshKey });
    const server = createTlsServer({ cert: ca, key }, (request, response) => {
      if (!listener.handleRequest(request, response)) response.writeHead(404).end();
    });
    server.on("upgrade", (request, socket, head) => listener.handleUpgrade(request, socket, head));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const ourPort = (server.address() as AddressInfo).port;
    const stockPort = await freePort();
    const args = [
      ["-a", `127.0.0.1:${stockPort}`],
      ["-http-port", "-1"],
      ["-stun=false", "-hostname", "localhost"],
      ["-certmode", "manual", "-certdir", directory],
      ["-c", join(directory, "derper.json")],
      ["-mesh-psk-file", join(directory, "mesh.key")],
      ["-mesh-with", `localhost:${ourPort}`],
    ];
    const trusting = { ...process.env, SSL_CERT_FILE: join(directory, "localhost.crt") };
    children.push(spawn(join(built, "derper"), args.flat(), { stdio: "ignore", env: trusting }));
    const mesh = new RelayMesh({
      relay: listener.mesh,
      privateKey,
      meshKey,
      crypto,
      random,
      clock: monotonicNow,
      dialer: new Dialer({ proxyFor: () => "", tls: { ca } }),
      addresses: new SiblingAddresses(),
    });
    closing.push(async () => {
      await mesh.close();
      await listener.shutdown(0, 0);
      server.closeAllConnections();
      server.close();
    });
    mesh.update([{ id: "stock", hostname: "stock", relayUrl: `https://localhost:${stockPort}` }]);

    const [ours, stock] = [peer(ourPort, false, ca), peer(stockPort, false, ca)];
    await until("the link", () => mesh.status()[0]!.state === "up");
    await until("both ready", () => ours.connection.state === "ready" && stock.connection.state === "ready");
    await until("over to the stock relay", () => {
      ours.connection.send(stock.publicKey, new Uint8Array(1_200), 0, 1_200);
      return stock.received.length > 0;
    });
    await until("over to ours", () => {
      stock.connection.send(ours.publicKey, new Uint8Array(65_536), 0, 65_536);
      return ours.received.length > 0;
    });
    expect(stock.received[0]).toEqual({ from: hexEncode(ours.publicKey), length: 1_200 });
    expect(ours.received[0]).toEqual({ from: hexEncode(stock.publicKey), length: 65_536 });
    expect(listener.metrics.relay.packetsForwardedIn).toBeGreaterThan(0);
    expect(mesh.status()[0]!.forwarded).toBeGreaterThan(0);
    const { keys } = mesh.status()[0]!;
    await stock.connection.close();
    await until("it has left", () => mesh.status()[0]!.keys === keys - 1);
  });
});

/** A self-signed certificate for "localhost", made by Debian's openssl. */
function certificate(directory: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [join(directory, "localhost.crt"), join(directory, "localhost.key")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", ...subject].concat(
      ["-keyout", key, "-out", cert],
    ),
    { stdio: "ignore" },
  );
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
}

/** The key in the form of the Node message: "np" followed by the key. */
function nodeKeyBytes(publicKey: Uint8Array): Uint8Array {
  return Uint8Array.of(0x6e, 0x70, ...publicKey);
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 15_000; performance.now() < end; await sleep(10)) if (condition()) return;
  throw new Error(`${what}: not within 15 s`);
}
