/** A router that loses its flows: connections through it are dead, and neither end is notified. */
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { NodePrivateKey, NodePublicKey } from "wg-userspace/base/keys";
import { silentLogger } from "wg-userspace/base/ports";
import { derpMapOf, relayNode } from "wg-userspace/derp/map";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite as crypto, nodeRandom as random } from "wg-userspace/io/host/crypto-suite";
import { directRelayDialer } from "wg-userspace/io/relay/relay-dialer";
import { RelaySet } from "wg-userspace/io/relay/relay-set";
import { RelayListener } from "./relay-listener.ts";

const eventually = { timeout: 30_000, interval: 5 };
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A relay behind the router; `flows` counts connections made through it. */
async function relayBehindRouter() {
  const listener = new RelayListener({ privateKey: new Uint8Array(32).fill(9), crypto, random, clock: monotonicNow });
  const relay = createServer();
  relay.on("upgrade", (request, socket: Socket, head: Buffer) => listener.handleUpgrade(request, socket, head));
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  const relayPort = (relay.address() as AddressInfo).port;
  const sockets = new Set<Socket>();
  let forget = (): void => undefined;
  let flows = 0;
  const router = createTcpServer((client) => {
    flows++;
    const server = connectTcp(relayPort, "127.0.0.1");
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(from);
      from.on("error", () => undefined);
      from.on("close", () => to.destroy());
      from.pipe(to);
    }
    const previous = forget;
    forget = () => {
      previous();
      for (const socket of [client, server]) socket.unpipe().resume(); // read, and discarded
    };
  });
  router.listen(0, "127.0.0.1");
  await once(router, "listening");
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    router.close();
    await listener.shutdown(0, 0);
    relay.closeAllConnections();
    relay.close();
  });
  return { port: (router.address() as AddressInfo).port, forget: () => forget(), flows: () => flows };
}

function connectTo(port: number) {
  const privateKey = random.bytes(32);
  const set = new RelaySet(
    {
      privateKey: privateKey as NodePrivateKey,
      publicKey: crypto.publicKey(privateKey) as NodePublicKey,
      dialer: directRelayDialer,
      headers: async () => ({}),
      forceWebSocket: false,
      logger: silentLogger,
    },
    {
      onPacket: () => undefined,
      onBatchEnd: () => undefined,
      onPeerGone: () => undefined,
      onDrain: () => undefined,
      onState: () => undefined,
      onForcedWebSocket: () => undefined,
    },
  );
  cleanups.push(() => set.close());
  const node = relayNode({ name: "1a", regionId: 1, hostName: "127.0.0.1", derpPort: port, forceHttp: true });
  set.setMap(
    derpMapOf([
      { regionId: 1, regionCode: "t", regionName: "Test", embeddedRelay: false, avoid: false, nodes: [node] },
    ]),
  );
  set.setHome(1);
  return set;
}

describe("an idle relay connection in doubt", () => {
  it("is dialled again if the router has lost it", async () => {
    const router = await relayBehindRouter();
    const set = connectTo(router.port);
    await vi.waitFor(() => expect(set.homeState).toBe("ready"), eventually);
    router.forget();
    // As with a suspicion, the doubt is repeated with every new reason, even in the second in which the relay still counts as
    // heard.
    await vi.waitFor(() => {
      set.prove();
      expect(router.flows()).toBe(2);
    }, eventually);
    await vi.waitFor(() => expect(set.homeState).toBe("ready"), eventually);
    expect(await set.ping(1, { signal: AbortSignal.timeout(30_000) })).toBeGreaterThan(0);
  });

  it("is kept if the relay answers", async () => {
    const router = await relayBehindRouter();
    const set = connectTo(router.port);
    await vi.waitFor(() => expect(set.homeState).toBe("ready"), eventually);
    for (let round = 0; round < 3; round++) {
      set.prove();
      await set.ping(1, { signal: AbortSignal.timeout(30_000) });
    }
    expect([router.flows(), set.homeState]).toEqual([1, "ready"]);
  });
});
