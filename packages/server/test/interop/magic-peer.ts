/** The stock peer of `go/magicpeer`, and one of our nodes with the relay and STUN server that both use. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { TailnetNode } from "coder-client/node/tailnet-node";
import { Deployment } from "coder-client/rest/deployment";
import { type DerpMap, derpMapOf, derpMapToJson, relayNode } from "wg-userspace/derp/map";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite as crypto, nodeRandom as random } from "wg-userspace/io/host/crypto-suite";
import { StunListener } from "wg-userspace/io/probe/stun-server";
import { RelayListener } from "../../src/relay/relay-listener.ts";

const source = join(import.meta.dirname, "go");
const built = join(import.meta.dirname, "../../../../.build/interop");
const WAIT_MS = 20_000;
export const REGION = 1;

/** Throws if the program cannot be built: if Go is installed, that is a failure and not a missing requirement. */
export function buildMagicPeer(): void {
  mkdirSync(built, { recursive: true });
  execFileSync("go", ["build", "-o", join(built, "magicpeer"), "./magicpeer"], {
    cwd: source,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

/** A line that the stock peer printed. */
interface Said {
  readonly kind: string;
  readonly node?: string;
  readonly disco?: string;
  readonly port?: number;
  readonly endpoints?: readonly string[];
  readonly endpoint?: string;
  readonly region?: number;
  readonly error?: string;
  readonly address?: string;
  readonly relay?: string;
  readonly answers?: readonly number[];
}

/** Our relay and STUN server on loopback, and a map that names them. */
export class TestNetwork implements AsyncDisposable {
  readonly url: string;
  readonly map: DerpMap;
  readonly #close: () => Promise<void>;

  static async open(): Promise<TestNetwork> {
    const relay = new RelayListener({ privateKey: random.bytes(32), crypto, random, clock: monotonicNow });
    const server = createServer((request, response) => relay.handleRequest(request, response));
    server.on("upgrade", (request, socket, head) => relay.handleUpgrade(request, socket, head));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const stun = await StunListener.open({ host: "127.0.0.1", port: 0, random });
    return new TestNetwork((server.address() as AddressInfo).port, stun.port, async () => {
      await relay.shutdown();
      server.close();
      await stun.close();
    });
  }

  private constructor(derpPort: number, stunPort: number, close: () => Promise<void>) {
    this.url = `http://127.0.0.1:${derpPort}`;
    this.#close = close;
    const node = relayNode({
      name: "1a",
      regionId: REGION,
      hostName: "127.0.0.1",
      ipv4: "127.0.0.1",
      ipv6: "none",
      derpPort,
      stunPort,
      forceHttp: true,
      insecureForTests: true,
    });
    this.map = derpMapOf([
      { regionId: REGION, regionCode: "t", regionName: "t", embeddedRelay: false, avoid: false, nodes: [node] },
    ]);
  }

  /** Our node, connected to the relay. */
  async openNode(address: string, directBlocked?: "this-client"): Promise<TailnetNode> {
    const node = await TailnetNode.open({
      deployment: new Deployment({ url: new URL(this.url) }),
      addresses: [address],
      nodeId: 1n,
      isDestination: () => false,
      directBlocked,
    });
    node.setDerpMap(this.map);
    await until("our relay connection", () => node.driver.relays.homeState === "ready");
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** A running stock peer that knows the relay map and has reported its endpoints. */
export class MagicPeer {
  readonly said: Said[] = [];
  readonly address: string;
  readonly #process: ChildProcess;

  static async start(address: string, network: TestNetwork): Promise<MagicPeer> {
    const peer = new MagicPeer(address);
    await peer.#next("ready", 0);
    peer.#tell({ cmd: "derp-map", map: derpMapToJson(network.map) });
    await until("endpoints of the stock peer", () => peer.endpoints.length > 0);
    return peer;
  }

  private constructor(address: string) {
    this.address = address;
    this.#process = spawn(join(built, "magicpeer"), ["-addr", address], { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#process.stdout! }).on("line", (line) => this.said.push(JSON.parse(line) as Said));
  }

  /** Hex. */
  get nodeKey(): string {
    return this.#first("ready").node!;
  }
  /** Hex. */
  get discoKey(): string {
    return this.#first("ready").disco!;
  }
  get udpPort(): number {
    return this.#first("ready").port!;
  }
  /** Its endpoints, as its coordinator would publish them. */
  get endpoints(): readonly string[] {
    return this.said.findLast(({ kind }) => kind === "endpoints")?.endpoints ?? [];
  }

  /** Gives it our node as its coordinator would publish it. Keys are in hex. */
  async learn(us: { node: string; disco: string; addr: string; endpoints: readonly string[] }): Promise<void> {
    await this.#ask({ cmd: "peer", homeDerp: REGION, ...us }, "peer");
  }

  /** `tailscale ping`: one disco ping over any path. */
  async discoPing(): Promise<Said> {
    return this.#ask({ cmd: "ping" }, "pong");
  }

  /** The path in use, as `tailscale status` shows it. */
  async path(): Promise<Said> {
    return this.#ask({ cmd: "path" }, "path");
  }

  /** Sends one ICMP echo from inside its tunnel. */
  async icmpEcho(to: string): Promise<void> {
    await this.#ask({ cmd: "icmp", to: `[${to}]:0` }, "icmp-reply");
  }

  /** Sends numbered datagrams from inside its tunnel; returns the numbers of the answers in order of arrival. */
  async stream(to: string, port: number, count: number, window: number): Promise<readonly number[]> {
    const { answers } = await this.#ask({ cmd: "send", to: `[${to}]:${port}`, count, window }, "stream");
    return answers ?? [];
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  #first(kind: string): Said {
    const found = this.said.find((one) => one.kind === kind);
    if (found === undefined) throw new Error(`the stock peer has not said "${kind}" yet`);
    return found;
  }

  #tell(command: Record<string, unknown>): void {
    this.#process.stdin!.write(`${JSON.stringify(command)}\n`);
  }

  async #ask(command: Record<string, unknown>, kind: string): Promise<Said> {
    const before = this.said.length;
    this.#tell(command);
    return this.#next(kind, before);
  }

  async #next(kind: string, from: number): Promise<Said> {
    const found = (): Said | undefined => this.said.slice(from).find((one) => one.kind === kind);
    await until(`"${kind}" of the stock peer`, () => {
      if (this.#process.exitCode !== null) throw new Error(`the stock peer ended with ${this.#process.exitCode}`);
      return found() !== undefined;
    });
    return found()!;
  }
}

export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + WAIT_MS; performance.now() < end; await sleep(5)) if (await condition()) return;
  throw new Error(`${what}: not within ${WAIT_MS / 1000} s`);
}
