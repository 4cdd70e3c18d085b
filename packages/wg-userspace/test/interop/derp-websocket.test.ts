/** The stock relay of tailscale.com over WebSocket: on request, and by discovery behind a proxy that carries nothing else. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { bytesEqual, hexDecode, hexEncode } from "../../src/base/bytes.ts";
import { relayNode } from "../../src/derp/map.ts";
import { monotonicNow } from "../../src/io/host/clock.ts";
import { nodeCryptoSuite as crypto, nodeRandom as random } from "../../src/io/host/crypto-suite.ts";
import { RelayConnection } from "../../src/io/relay/relay-connection.ts";
import { directRelayDialer } from "../../src/io/relay/relay-dialer.ts";
import { missingTools } from "./namespaces.ts";

const missing = missingTools("go").filter((name) => name !== "root");
const source = join(import.meta.dirname, "../../../server/test/interop/go");
const built = join(import.meta.dirname, "../../../../.build/interop");
/** The stock relay closes the connection on WebSocket messages above 32 KiB. */
const LENGTHS = [1, 62, 1200, 16_384];

interface Peer {
  readonly connection: RelayConnection;
  readonly publicKey: Uint8Array;
  readonly received: { readonly from: string; readonly bytes: Uint8Array }[];
  readonly gone: string[];
}

describe.skipIf(missing.length > 0)(
  `the stock DERP relay over WebSocket (missing here: ${missing.join(", ") || "nothing"})`,
  () => {
    const children: ChildProcess[] = [];
    const closing: (() => unknown)[] = [];
    let folder: string;
    let relayPort: number;

    beforeAll(async () => {
      mkdirSync(built, { recursive: true });
      const build = (out: string, ...args: string[]): void => {
        execFileSync("go", ["build", "-o", join(built, out), ...args], {
          cwd: source,
          stdio: ["ignore", "ignore", "inherit"],
        });
      };
      build("derpecho", "-tags", "ts_debug_websockets", ".");
      build("derper", "tailscale.com/cmd/derper");
      folder = mkdtempSync(join(tmpdir(), "derp-interop-"));
      relayPort = await freePort();
      const place = ["-a", `127.0.0.1:${relayPort}`, "-hostname", "127.0.0.1", "-c", join(folder, "derper.json")];
      children.push(spawn(join(built, "derper"), [...place, "-http-port", "-1", "-stun=false"], { stdio: "ignore" }));
      await until("the relay listens", () => answers(relayPort));
    }, 600_000);

    afterEach(async () => {
      for (const close of closing.splice(0)) await close();
    });

    afterAll(async () => {
      for (const child of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        child.kill("SIGKILL");
        await once(child, "exit");
      }
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });

    function peer(port: number, forceWebSocket: boolean): Peer {
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
          nodes: [relayNode({ name: "1a", regionId: 1, hostName: "127.0.0.1", derpPort: port, forceHttp: true })],
        },
        privateKey,
        publicKey: crypto.publicKey(privateKey),
        crypto,
        random,
        clock: monotonicNow,
        dial: directRelayDialer,
        forceWebSocket,
        handler: {
          onPacket: (_region, from, bytes, offset, length) =>
            received.push({ from: hexEncode(from), bytes: bytes.slice(offset, offset + length) }),
          onPeerGone: (key) => gone.push(hexEncode(key)),
        },
      });
      closing.push(() => connection.close());
      return { connection, publicKey: crypto.publicKey(privateKey), received, gone };
    }

    /** Sends random packets of every length and expects them, unchanged and in order, from `source` at the receiver. */
    async function expectCarried(from: Peer, to: Uint8Array, receiver: Peer, source: Uint8Array): Promise<void> {
      const packets = LENGTHS.map((length) => new Uint8Array(randomBytes(length)));
      const before = receiver.received.length;
      for (const packet of packets) expect(from.connection.send(to, packet, 0, packet.length)).toBe(true);
      await until("packets", () => receiver.received.length === before + packets.length);
      const arrived = receiver.received.slice(before);
      expect(arrived.map((packet) => packet.from)).toEqual(packets.map(() => hexEncode(source)));
      expect(arrived.map((packet) => packet.bytes.length)).toEqual(LENGTHS);
      expect(arrived.every((packet, i) => bytesEqual(packet.bytes, packets[i]!))).toBe(true);
    }

    it("carries packets between a client of ours on WebSocket and one on the raw upgrade, and reports departed peers", async () => {
      const [webSocket, raw] = [peer(relayPort, true), peer(relayPort, false)];
      await until("both ready", () => [webSocket, raw].every(({ connection }) => connection.state === "ready"));
      expect([webSocket.connection.transport, raw.connection.transport]).toEqual(["websocket", "raw"]);
      await expectCarried(webSocket, raw.publicKey, raw, webSocket.publicKey);
      await expectCarried(raw, webSocket.publicKey, webSocket, raw.publicKey);
      expect(await webSocket.connection.ping({ signal: AbortSignal.timeout(5_000) })).toBeGreaterThan(0);
      await raw.connection.close();
      await until("gone", () => webSocket.gone.includes(hexEncode(raw.publicKey)));
    });

    it.each([
      ["raw", false],
      ["WebSocket", true],
    ])("carries packets between our client and the stock one on %s", async (_name, stockOnWebSocket) => {
      const echo = spawn(join(built, "derpecho"), ["-url", `http://127.0.0.1:${relayPort}/derp`], {
        stdio: ["ignore", "pipe", "ignore"],
        env: { ...process.env, TS_DEBUG_DERP_WS_CLIENT: stockOnWebSocket ? "1" : undefined },
      });
      children.push(echo);
      const [line] = (await once(createInterface({ input: echo.stdout }), "line", {
        signal: AbortSignal.timeout(15_000),
      })) as [string];
      const echoKey = hexDecode(line.replace("ready ", ""));
      const ours = peer(relayPort, false);
      await until("ready", () => ours.connection.state === "ready");
      await expectCarried(ours, echoKey, ours, echoKey);
      echo.kill("SIGKILL");
      await until("gone", () => ours.gone.includes(hexEncode(echoKey)));
    });

    it.each([
      ["answers other upgrades with 400", 400],
      ["passes other upgrades on as plain requests", undefined],
      ["cuts other upgrades off", 0],
    ])("is reached through a proxy that knows only WebSocket and %s", async (_name, status) => {
      const proxy = await startWebSocketProxy(relayPort, status);
      closing.push(proxy.close);
      const [behind, other] = [peer(proxy.port, false), peer(relayPort, false)];
      await until("both ready", () => [behind, other].every(({ connection }) => connection.state === "ready"));
      expect(proxy.otherUpgrades()).toBeGreaterThan(0);
      expect(behind.connection.transport).toBe("websocket");
      await expectCarried(behind, other.publicKey, other, behind.publicKey);
      await expectCarried(other, behind.publicKey, behind, other.publicKey);
    });
  },
);

/** @param status The answer to other upgrades; undefined: passed on without the upgrade; 0: the connection is cut. */
async function startWebSocketProxy(
  port: number,
  status: number | undefined,
): Promise<{ port: number; otherUpgrades: () => number; close: () => Promise<void> }> {
  let others = 0;
  const sockets = new Set<Duplex>();
  const server: Server = createServer((_request, response) => response.writeHead(404).end());
  server.on("upgrade", (incoming: IncomingMessage, client: Duplex, head: Buffer) => {
    sockets.add(client);
    client.on("error", () => client.destroy());
    const headers = { ...incoming.headers };
    const isWebSocket = headers.upgrade?.toLowerCase() === "websocket";
    if (!isWebSocket) {
      others++;
      if (status === 0) {
        client.destroy();
        return;
      }
      if (status !== undefined) {
        client.end(`HTTP/1.1 ${status} Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
        return;
      }
      delete headers.upgrade;
      headers.connection = "close";
    }
    const onward = request({ host: "127.0.0.1", port, path: incoming.url, method: "GET", headers });
    const answerHead = (answer: IncomingMessage): void => {
      const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
      for (let i = 0; i < answer.rawHeaders.length; i += 2)
        lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}`);
      client.write(`${lines.join("\r\n")}\r\n\r\n`);
    };
    onward.on("error", () => client.destroy());
    onward.on("response", (answer) => {
      answerHead(answer);
      answer.pipe(client);
    });
    onward.on("upgrade", (answer, upstream, rest: Buffer) => {
      sockets.add(upstream);
      answerHead(answer);
      client.write(rest);
      upstream.write(head);
      upstream.on("error", () => client.destroy());
      upstream.pipe(client).pipe(upstream);
    });
    onward.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    otherUpgrades: () => others,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", port, path: "/derp/latency-check", timeout: 1_000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on("timeout", () => asked.destroy());
    asked.on("error", () => resolve(false)); // not listening yet
    asked.end();
  });
}

async function freePort(): Promise<number> {
  const probe = createTcpServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 15_000; performance.now() < end; await sleep(10)) if (await condition()) return;
  throw new Error(`${what}: not within 15 s`);
}
