/** Our relay on a bare HTTP server, in a process of its own. Driven by JSON lines, see processes.ts. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { markOnMainThread } from "../../packages/server/src/relay/garbage-collection.ts";
import { RelayListener } from "../../packages/server/src/relay/relay-listener.ts";
import { clampPrivateKey } from "../../packages/wg-userspace/src/base/keys.ts";
import { monotonicNow } from "../../packages/wg-userspace/src/io/host/clock.ts";
import { nodeCryptoSuite, nodeRandom } from "../../packages/wg-userspace/src/io/host/crypto-suite.ts";
import { answerRequests } from "./processes.ts";

/** All clients of a bench connect from one address, as fast as they can. */
const UNLIMITED = { connections: 1e6, connectionsPerAddress: 1e6, handshakesPerSecond: 1e6, handshakeBurst: 1e6 };

markOnMainThread(); // as "coder server" does

const listener = new RelayListener({
  privateKey: clampPrivateKey(nodeRandom.bytes(32)),
  crypto: nodeCryptoSuite,
  random: nodeRandom,
  clock: monotonicNow,
  limits: UNLIMITED,
});
const server = createServer((request, response) => {
  if (!listener.handleRequest(request, response)) response.writeHead(404).end();
});
server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) =>
  listener.handleUpgrade(request, socket, head),
);

await answerRequests({
  async open() {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { port: (server.address() as AddressInfo).port };
  },
});
await listener.shutdown(0, 0);
process.exit(0);
