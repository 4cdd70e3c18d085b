/** Many idle clients of a relay, in a process of their own. Driven by JSON lines, see processes.ts. */
import { setTimeout as sleep } from "node:timers/promises";
import { clampPrivateKey } from "../../packages/wg-userspace/src/base/keys.ts";
import { derpMapOf, relayNode } from "../../packages/wg-userspace/src/derp/map.ts";
import { monotonicNow } from "../../packages/wg-userspace/src/io/host/clock.ts";
import { nodeCryptoSuite, nodeRandom } from "../../packages/wg-userspace/src/io/host/crypto-suite.ts";
import { RelayConnection } from "../../packages/wg-userspace/src/io/relay/relay-connection.ts";
import { directRelayDialer } from "../../packages/wg-userspace/src/io/relay/relay-dialer.ts";
import { answerRequests } from "./processes.ts";

/** Concurrent handshakes. */
const AT_ONCE = 50;
const READY_WITHIN_MS = 40_000;

let connections: RelayConnection[] = [];

await answerRequests({
  async open(request) {
    const forceWebSocket = request["webSocket"] === true;
    const end = performance.now() + READY_WITHIN_MS;
    for (let left = Number(request["count"]); left > 0; left -= AT_ONCE) {
      const batch = Array.from({ length: Math.min(AT_ONCE, left) }, () =>
        idleConnection(Number(request["port"]), forceWebSocket),
      );
      connections.push(...batch);
      while (batch.some(({ state }) => state !== "ready")) {
        if (performance.now() > end) throw new Error(`${connections.length} connections were not ready in time`);
        await sleep(5);
      }
    }
    return {};
  },
  async close() {
    await Promise.all(connections.map((connection) => connection.close()));
    connections = [];
    return {};
  },
});
process.exit(0);

function idleConnection(port: number, forceWebSocket: boolean): RelayConnection {
  const node = relayNode({ name: "1a", regionId: 1, hostName: "127.0.0.1", derpPort: port, forceHttp: true });
  const region = { regionId: 1, regionCode: "b", regionName: "B", embeddedRelay: false, avoid: false, nodes: [node] };
  const privateKey = clampPrivateKey(nodeRandom.bytes(32));
  return new RelayConnection({
    region: derpMapOf([region]).regions.get(1)!,
    privateKey,
    publicKey: nodeCryptoSuite.publicKey(privateKey),
    crypto: nodeCryptoSuite,
    random: nodeRandom,
    clock: monotonicNow,
    dial: directRelayDialer,
    forceWebSocket,
    handler: { onPacket: () => undefined },
  });
}
