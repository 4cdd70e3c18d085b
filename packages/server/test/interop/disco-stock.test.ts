/** Our engine against the disco code of tailscale.com: each opens what the other sealed, and the path becomes direct. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hexDecode, hexEncode } from "wg-userspace/base/bytes";
import { ip, parseAddrPort } from "wg-userspace/base/ip";
import {
  clampPrivateKey,
  discoPrivateKey,
  discoPublicKey,
  nodePrivateKey,
  nodePublicKey,
} from "wg-userspace/base/keys";
import { derpMapOf, relayNode } from "wg-userspace/derp/map";
import type { EngineEvent } from "wg-userspace/engine";
import { Driver } from "wg-userspace/io/driver";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite as crypto, nodeRandom as random } from "wg-userspace/io/host/crypto-suite";
import { directRelayDialer } from "wg-userspace/io/relay/relay-dialer";
import { RelayListener } from "../../src/relay/relay-listener.ts";

const source = join(import.meta.dirname, "go");
const built = join(import.meta.dirname, "../../../../.build/interop");
const REGION = 1;
const hasGo = ((): boolean => {
  try {
    execFileSync("go", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

/** A line that the stock peer prints. */
interface Said {
  readonly kind: string;
  readonly via?: string;
  readonly from?: string;
  readonly length?: number;
  readonly src?: string;
  readonly node?: string;
  readonly disco?: string;
  readonly udp?: string;
  readonly listed?: readonly string[];
}

describe.skipIf(!hasGo)(`the disco code of tailscale.com (missing here: ${hasGo ? "nothing" : "go"})`, () => {
  const said: Said[] = [];
  const events: EngineEvent[] = [];
  let listener: RelayListener;
  let stop: () => void;
  let driver: Driver;
  let peer: ChildProcess;
  let ready: Said;
  const heard = (kind: string, via: string): Said[] => said.filter((one) => one.kind === kind && one.via === via);
  const direct = (): boolean => {
    const status = driver.engine.peerStatus(nodePublicKey(hexDecode(ready.node!)));
    return status?.path?.kind === "udp";
  };

  beforeAll(async () => {
    mkdirSync(built, { recursive: true });
    execFileSync("go", ["build", "-o", join(built, "discopeer"), "./discopeer"], {
      cwd: source,
      stdio: ["ignore", "ignore", "inherit"],
    });
    listener = new RelayListener({ privateKey: random.bytes(32), crypto, random, clock: monotonicNow });
    const server = createServer((request, response) => listener.handleRequest(request, response));
    server.on("upgrade", (request, socket, head) => listener.handleUpgrade(request, socket, head));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stop = () => server.close();
    const { port } = server.address() as AddressInfo;
    driver = await Driver.open(
      {
        privateKey: nodePrivateKey(clampPrivateKey(random.bytes(32))),
        addresses: [ip("fd7a:115c:a1e0::1")],
        udpPort: 0,
        disco: { privateKey: discoPrivateKey(clampPrivateKey(random.bytes(32))) },
        relay: { dialer: directRelayDialer },
      },
      { onEngineEvent: (event) => void events.push(event) },
    );
    const node = relayNode({ name: "1a", regionId: REGION, hostName: "127.0.0.1", derpPort: port, forceHttp: true });
    const region = {
      regionId: REGION,
      regionCode: "t",
      regionName: "t",
      embeddedRelay: false,
      avoid: false,
      nodes: [node],
    };
    driver.relays.setMap(derpMapOf([region]));
    driver.relays.setHome(REGION);
    await until("our relay connection", () => driver.relays.homeState === "ready");
    const keys = ["-peer-node", hexEncode(driver.engine.publicKey), "-peer-disco", hexEncode(driver.engine.discoKey!)];
    peer = spawn(join(built, "discopeer"), ["-url", `http://127.0.0.1:${port}/derp`, ...keys], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    createInterface({ input: peer.stdout! }).on("line", (line) => said.push(JSON.parse(line) as Said));
    await until("the stock peer", () => said.some(({ kind }) => kind === "ready"));
    ready = said.find(({ kind }) => kind === "ready")!;
    driver.setOwnEndpoints([parseAddrPort(`127.0.0.1:${driver.udpPorts.ipv4}`)!]);
    driver.setPeer({
      publicKey: nodePublicKey(hexDecode(ready.node!)),
      discoKey: discoPublicKey(hexDecode(ready.disco!)),
      allowedIPs: [{ address: ip("fd7a:115c:a1e0::2"), bits: 128 }],
      homeRegion: REGION,
    });
    driver.startHandshake(nodePublicKey(hexDecode(ready.node!)));
  }, 600_000);

  afterAll(async () => {
    peer?.kill("SIGKILL");
    await driver?.close();
    await listener?.shutdown();
    stop?.();
  });

  it("reads our CallMeMaybe, with our endpoints, from the relay", async () => {
    await until("a CallMeMaybe", () => heard("call-me-maybe", "relay").length > 0);
    expect(heard("call-me-maybe", "relay")[0]!.listed).toEqual([`127.0.0.1:${driver.udpPorts.ipv4}`]);
    expect(direct()).toBe(false);
  });

  it("is probed as soon as it calls, answers, and is then reached directly", async () => {
    peer.stdin!.write("call-me-maybe\n");
    await until("a direct path", direct);
    const ping = heard("ping", "udp").find(({ length }) => length === 1310)!;
    expect(ping).toMatchObject({ from: `127.0.0.1:${driver.udpPorts.ipv4}`, node: hexEncode(driver.engine.publicKey) });
    expect(events.some((event) => event.kind === "path-changed" && event.path?.kind === "udp")).toBe(true);
  });

  it("gets our pongs with its ping's source address", async () => {
    peer.stdin!.write(`ping 127.0.0.1:${driver.udpPorts.ipv4}\n`);
    await until("a pong", () => heard("pong", "udp").length > 0);
    // As long as its ping, which has no padding there: magic, keys, nonce, tag, and 46 bytes of plaintext.
    expect(heard("pong", "udp")[0]).toMatchObject({ src: ready.udp, length: 124 });
  });

  it("answers pings requested by a user, on the direct path and by relay", async () => {
    const key = nodePublicKey(hexDecode(ready.node!));
    const pong = await driver.pingPeer(key, { signal: AbortSignal.timeout(5_000) });
    expect(pong.path.kind).toBe("udp");
    expect(heard("ping", "relay").length).toBeGreaterThan(0);
  });

  it("can open and read all of our messages", () => {
    expect(said.filter(({ kind }) => ["stranger", "sealed", "unparsed"].includes(kind))).toEqual([]);
  });
});

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 15_000; performance.now() < end; await sleep(10)) if (condition()) return;
  throw new Error(`${what}: not within 15 s`);
}
