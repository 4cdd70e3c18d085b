/** One agent or client as the control plane sees it: the messages of a real one's control connection, and no more. */
import { Backoff } from "../../packages/client/src/base/backoff.ts";
import { dialRpc, type RpcConnection } from "../../packages/client/src/control/rpc-connection.ts";
import { Deployment } from "../../packages/client/src/rest/deployment.ts";
import { agentAddresses, uuidFromBytes, uuidToBytes } from "../../packages/protocol/src/addresses.ts";
import type { RpcDuplex } from "../../packages/protocol/src/drpc/async.ts";
import { Agent, Lifecycle_State } from "../../packages/protocol/src/gen/agent_pb.ts";
import {
  type CoordinateRequestSchema,
  type CoordinateResponseSchema,
  CoordinateResponse_PeerUpdate_Kind as Kind,
  Tailnet,
} from "../../packages/protocol/src/gen/tailnet_pb.ts";
import { nodeToProto } from "../../packages/protocol/src/tailnet/node.ts";
import { sleep } from "../../packages/wg-userspace/src/async/abort.ts";
import { hexEncode } from "../../packages/wg-userspace/src/base/bytes.ts";
import { nodeRandom } from "../../packages/wg-userspace/src/io/host/crypto-suite.ts";
import type { AgentLogin } from "./registration.ts";

const STATS_EVERY_MS = 30_000;

export interface Site {
  readonly url: string;
  readonly signal: AbortSignal;
}

export class SimulatedPeer {
  static #errors = new Map<string, number>();
  static #count = 0;
  static #lost = 0;
  /** Id of the agent, even when this is a client. */
  readonly id: string;
  readonly #site: Site;
  readonly #kind: "agent" | "client";
  readonly #token: string;
  readonly #deployment: Deployment;
  readonly #key: Uint8Array;
  readonly #waiting = new Map<string, (at: number) => void>();
  /** The time in the last node of each other peer, by key. */
  readonly #heard = new Map<string, number>();
  #coordinate: RpcDuplex<typeof CoordinateRequestSchema, typeof CoordinateResponseSchema> | undefined;
  #resumeToken: string | undefined;
  #version = 0;
  /** When the other side's node arrived on this connection; 0 before that. */
  #pairedAt = 0;
  #lastMark = 0;
  #sentMark = 0;
  #isReady = false;
  /** Called when what it sent, heard or is connected to has changed. */
  onChange: () => void = () => undefined;

  static agent(site: Site, { agentId, token }: AgentLogin, key = nodeRandom.bytes(32)): SimulatedPeer {
    return new SimulatedPeer(site, agentId, "agent", token, key);
  }

  static client(site: Site, { agentId, ownerToken }: AgentLogin, key = nodeRandom.bytes(32)): SimulatedPeer {
    return new SimulatedPeer(site, agentId, "client", ownerToken, key);
  }

  /** How often since the last call a peer was informed that another one is lost. */
  static takeLost(): number {
    const taken = SimulatedPeer.#lost;
    SimulatedPeer.#lost = 0;
    return taken;
  }

  /** Failed dials and lost connections of all peers since the last call, by error message. */
  static takeErrors(): Record<string, number> {
    const taken = Object.fromEntries(SimulatedPeer.#errors);
    SimulatedPeer.#errors.clear();
    return taken;
  }

  private constructor(site: Site, id: string, kind: "agent" | "client", token: string, key: Uint8Array) {
    this.id = id;
    this.#site = site;
    this.#kind = kind;
    this.#token = token;
    this.#key = key;
    const number = SimulatedPeer.#count++;
    // Servers limit the connections of one address, so each peer here states its own, as behind a proxy.
    const address = `10.${process.pid & 0x7f}.${number >> 8}.${number & 0xff}`;
    const extraHeaders = async () => ({ "X-Forwarded-For": address });
    this.#deployment = new Deployment({ url: new URL(site.url), token, extraHeaders });
  }

  get key(): string {
    return hexEncode(this.#key);
  }

  /** The time in the last node that it announced on this connection; 0: none yet. No two nodes of a peer have the same. */
  get sentMark(): number {
    return this.#sentMark;
  }

  /** The other peer has said on this connection that it is ready for the handshake. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** The time in the last node of the peer with this key; undefined while that one is not known. */
  heardMark(key: string): number | undefined {
    return this.#heard.get(key);
  }

  get paired(): boolean {
    return this.#pairedAt > 0;
  }

  get pairedAt(): number {
    return this.#pairedAt;
  }

  /** Connects, and reconnects without limit. */
  start(): void {
    void this.#run();
  }

  changeNode(addresses: readonly string[]): void {
    const prefixes = addresses.map((address) => `${address}/128`);
    this.#lastMark = Math.max(Date.now(), this.#lastMark + 1);
    const node = nodeToProto({
      id: 1n,
      asOfUnixMs: this.#lastMark,
      key: this.#key,
      disco: `discokey:${"5a".repeat(32)}`,
      preferredDerp: 999,
      derpLatency: new Map([["999-v4", 0.001 * (1 + (this.#version++ % 50))]]),
      derpForcedWebsocket: new Map(),
      addresses: prefixes,
      allowedIps: prefixes,
      endpoints: ["203.0.113.9:4321", "192.0.2.17:4321", "[2001:db8::17]:4321"],
    });
    if (this.#coordinate === undefined) return;
    this.#coordinate.send({ updateSelf: { node } });
    this.#sentMark = this.#lastMark;
    this.onChange();
  }

  /** Resolves with the time when that peer's next node arrives. */
  nextNode(id: string, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.#waiting.set(id, resolve);
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#site;
    const backoff = new Backoff({ firstMs: this.#kind === "client" ? 50 : 100, limitMs: 10_000 });
    while (!signal.aborted) {
      const startedAt = performance.now();
      try {
        await this.#connect(signal);
      } catch (error) {
        if (signal.aborted) return;
        const text = String((error as Error).message).replace(/127\.0\.0\.1:\d+/, "the server");
        SimulatedPeer.#errors.set(text, (SimulatedPeer.#errors.get(text) ?? 0) + 1);
      }
      this.#pairedAt = 0;
      this.#sentMark = 0;
      this.#isReady = false;
      this.onChange();
      if (performance.now() - startedAt > 10_000) backoff.reset();
      await sleep(backoff.next(), signal).catch(() => undefined); // aborted: the loop condition ends it
    }
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const isAgent = this.#kind === "agent";
    const path = isAgent ? "/api/v2/workspaceagents/me/rpc" : `/api/v2/workspaceagents/${this.id}/coordinate`;
    const connection = await dialRpc(this.#deployment, path, {
      query: { version: isAgent ? "2.1" : "2.0", resume_token: isAgent ? undefined : this.#resumeToken },
      signal,
      cookie: isAgent ? `coder_session_token=${this.#token}` : undefined,
    });
    const over = new AbortController();
    try {
      if (isAgent) await greet(connection);
      const coordinate = connection.rpc.bidi(Tailnet.method.coordinate);
      const maps = connection.rpc.serverStream(Tailnet.method.streamDERPMaps, {});
      this.#coordinate = coordinate;
      if (!isAgent) coordinate.send({ addTunnel: { id: uuidToBytes(this.id) } });
      this.changeNode(isAgent ? agentAddresses(this.id) : [clientAddress(this.#key)]);
      const beside = isAgent ? report(connection, over.signal) : this.#fetchResumeToken(connection);
      await Promise.race([
        this.#read(isAgent),
        (async () => {
          for await (const _map of maps);
        })(),
        connection.closed.then((reason) => {
          throw reason ?? new Error("closed");
        }),
        beside.then(() => new Promise<never>(() => undefined)),
        rejectionOf(AbortSignal.any([signal, over.signal])),
      ]);
    } finally {
      over.abort();
      this.#coordinate = undefined;
      await connection.close();
    }
  }

  async #read(isAgent: boolean): Promise<void> {
    for await (const response of this.#coordinate!.messages) {
      if (response.error !== "") throw new Error(`coordinator: ${response.error}`);
      for (const update of response.peerUpdates) {
        if (update.kind === Kind.LOST) SimulatedPeer.#lost++;
        if (update.kind === Kind.READY_FOR_HANDSHAKE) this.#isReady = true;
        if (update.kind !== Kind.NODE) continue;
        const at = performance.now();
        if (this.#pairedAt === 0) this.#pairedAt = at;
        const { key, asOf } = update.node!;
        if (asOf !== undefined)
          this.#heard.set(hexEncode(key.subarray(2)), Number(asOf.seconds) * 1000 + Math.round(asOf.nanos / 1e6));
        if (isAgent) this.#coordinate?.send({ readyForHandshake: [{ id: update.id }] });
        const id = uuidFromBytes(update.id)!;
        this.#waiting.get(id)?.(at);
        this.#waiting.delete(id);
      }
      this.onChange();
    }
  }

  async #fetchResumeToken(connection: RpcConnection): Promise<void> {
    this.#resumeToken = (await connection.rpc.unary(Tailnet.method.refreshResumeToken, {})).token;
  }
}

/** The messages that an agent sends before it may be reached. */
async function greet(connection: RpcConnection): Promise<void> {
  await connection.rpc.unary(Agent.method.getManifest, {});
  await connection.rpc.unary(Agent.method.updateStartup, {
    startup: { version: "v2.99.0", expandedDirectory: "/home/bench", subsystems: [] },
  });
}

async function report(connection: RpcConnection, signal: AbortSignal): Promise<void> {
  for (const state of [Lifecycle_State.STARTING, Lifecycle_State.READY])
    await connection.rpc.unary(Agent.method.updateLifecycle, { lifecycle: { state } });
  await connection.rpc.unary(Agent.method.getAnnouncementBanners, {});
  while (!signal.aborted) {
    await connection.rpc.unary(Agent.method.updateStats, { stats: { connectionCount: 1n, rxBytes: 1n, txBytes: 1n } });
    await sleep(STATS_EVERY_MS, signal).catch(() => undefined); // the connection is over
  }
}

function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

/** Any single address will do for a client. */
function clientAddress(key: Uint8Array): string {
  const hex = Buffer.from(key.subarray(0, 10)).toString("hex");
  return `fd7a:115c:a1e0:${hex.match(/.{4}/g)!.join(":")}`;
}
