/**
 * Two peers that send packets to each other through the relays of servers, with their keys announced to the control plane.
 * Driven by JSON lines, see processes.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { clampPrivateKey } from "../../packages/wg-userspace/src/base/keys.ts";
import { derpMapOf, relayNode } from "../../packages/wg-userspace/src/derp/map.ts";
import { monotonicNow } from "../../packages/wg-userspace/src/io/host/clock.ts";
import { nodeCryptoSuite, nodeRandom } from "../../packages/wg-userspace/src/io/host/crypto-suite.ts";
import { RelayConnection } from "../../packages/wg-userspace/src/io/relay/relay-connection.ts";
import { directRelayDialer } from "../../packages/wg-userspace/src/io/relay/relay-dialer.ts";
import { SimulatedPeer } from "./control-peer.ts";
import { answerRequests } from "./processes.ts";
import type { AgentLogin } from "./registration.ts";

const READY_WITHIN_MS = 20_000;
/** After this long without a packet, those in flight count as lost and others are sent. */
const SILENCE_MS = 1_000;
const ANSWER = new Uint8Array(16);

class End {
  readonly #privateKey = clampPrivateKey(nodeRandom.bytes(32));
  readonly publicKey = nodeCryptoSuite.publicKey(this.#privateKey);
  onPacket: () => void = () => undefined;
  #relay: RelayConnection | undefined;

  async connect(port: number): Promise<void> {
    await this.close();
    const node = relayNode({ name: "1a", regionId: 1, hostName: "127.0.0.1", derpPort: port, forceHttp: true });
    const region = { regionId: 1, regionCode: "b", regionName: "B", embeddedRelay: false, avoid: false, nodes: [node] };
    const relay = new RelayConnection({
      region: derpMapOf([region]).regions.get(1)!,
      privateKey: this.#privateKey,
      publicKey: this.publicKey,
      crypto: nodeCryptoSuite,
      random: nodeRandom,
      clock: monotonicNow,
      dial: directRelayDialer,
      handler: { onPacket: () => this.onPacket() },
    });
    this.#relay = relay;
    for (const end = performance.now() + READY_WITHIN_MS; relay.state !== "ready"; await sleep(10))
      if (performance.now() > end) throw new Error(`no relay at port ${port}: ${relay.lastError?.message}`);
  }

  send(to: End, bytes: Uint8Array): void {
    this.#relay!.send(to.publicKey, bytes, 0, bytes.length);
  }

  async close(): Promise<void> {
    await this.#relay?.close();
  }
}

const stop = new AbortController();
const [sender, receiver] = [new End(), new End()];
receiver.onPacket = () => receiver.send(sender, ANSWER);

await answerRequests({
  /** Announces both keys. */
  async announce(request) {
    const site = { url: String(request["url"]), signal: stop.signal };
    const login = request["login"] as AgentLogin;
    const agent = SimulatedPeer.agent(site, login, receiver.publicKey);
    const client = SimulatedPeer.client(site, login, sender.publicKey);
    agent.start();
    client.start();
    for (const end = performance.now() + READY_WITHIN_MS; !client.isReady; await sleep(10))
      if (performance.now() > end) throw new Error("the peers were not connected in time");
    return {};
  },

  /** Connects the sender and the receiver to the relays at these ports, and waits for the first packet. */
  async connect(request) {
    await sender.connect(Number(request["sender"]));
    await receiver.connect(Number(request["receiver"]));
    for (const end = performance.now() + READY_WITHIN_MS; ; ) {
      if (await roundTrip(ANSWER)) return {};
      if (performance.now() > end) throw new Error("no packet came through");
    }
  },

  /** Keeps a number of packets in flight. */
  async load(request) {
    const packet = new Uint8Array(Number(request["bytes"]));
    const window = Number(request["window"]);
    let [answered, lastAt, lost] = [0, performance.now(), 0];
    sender.onPacket = () => {
      answered++;
      lastAt = performance.now();
      sender.send(receiver, packet);
    };
    const begun = performance.now();
    for (let i = 0; i < window; i++) sender.send(receiver, packet);
    for (const end = begun + 1000 * Number(request["seconds"]); performance.now() < end; await sleep(20)) {
      if (performance.now() - lastAt < SILENCE_MS) continue;
      lost += window;
      lastAt = performance.now();
      for (let i = 0; i < window; i++) sender.send(receiver, packet);
    }
    sender.onPacket = () => undefined;
    const seconds = (performance.now() - begun) / 1000;
    await sleep(200); // for those still in flight
    return { packets: answered, lost, seconds };
  },

  /** Round trips with one packet in flight at a time. */
  async trips(request) {
    const packet = new Uint8Array(Number(request["bytes"]));
    const took: number[] = [];
    for (const end = performance.now() + 1000 * Number(request["seconds"]); performance.now() < end; ) {
      const started = performance.now();
      if (await roundTrip(packet)) took.push(performance.now() - started);
    }
    took.sort((a, b) => a - b);
    return { p50: took[took.length >> 1], p99: took[Math.floor(took.length * 0.99)] };
  },
});
stop.abort();
process.exit(0);

/** Whether an answer came. */
function roundTrip(packet: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), SILENCE_MS);
    sender.onPacket = () => {
      clearTimeout(timer);
      resolve(true);
    };
    sender.send(receiver, packet);
  });
}
