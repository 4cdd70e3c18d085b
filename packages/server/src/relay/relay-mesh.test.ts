import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { hexEncode, utf8 } from "wg-userspace/base/bytes";
import { copyOf } from "wg-userspace/derp/frame";
import { relayNode } from "wg-userspace/derp/map";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite as crypto, nodeRandom as random } from "wg-userspace/io/host/crypto-suite";
import { RelayConnection, type RelayConnectionOptions } from "wg-userspace/io/relay/relay-connection";
import { directRelayDialer } from "wg-userspace/io/relay/relay-dialer";
import { RelayListener, type RelayListenerOptions } from "./relay-listener.ts";
import { RelayMesh, type Sibling, SiblingAddresses } from "./relay-mesh.ts";

const MESH_KEY = "the mesh key of this test";
const eventually = { timeout: 20_000, interval: 10 };

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Replica {
  readonly sibling: Sibling;
  readonly listener: RelayListener;
  readonly mesh: RelayMesh;
  stop(): Promise<void>;
}

/** A relay with its own key, as each of several servers has one. */
async function startReplica(
  id: string,
  options: {
    readonly port?: number;
    readonly meshKey?: string;
    readonly listener?: Partial<RelayListenerOptions>;
  } = {},
): Promise<Replica> {
  const { port = 0, meshKey = MESH_KEY } = options;
  const privateKey = random.bytes(32).slice();
  const addresses = new SiblingAddresses();
  const listener: RelayListener = new RelayListener({
    privateKey,
    crypto,
    random,
    clock: monotonicNow,
    meshKey,
    isSibling: (address) => addresses.has(address),
    ...options.listener,
  });
  const mesh = new RelayMesh({
    relay: listener.mesh,
    privateKey,
    meshKey,
    crypto,
    random,
    clock: monotonicNow,
    dialer: directRelayDialer,
    addresses,
  });
  const http = createServer((_request, response) => response.writeHead(404).end());
  http.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) =>
    listener.handleUpgrade(request, socket, head),
  );
  http.listen(port, "127.0.0.1");
  await once(http, "listening");
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      await mesh.close();
      await listener.shutdown(0, 0);
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    })();
    return stopped;
  };
  cleanups.push(stop);
  const relayUrl = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  return { sibling: { id, hostname: id, relayUrl }, listener, mesh, stop };
}

async function joined(...replicas: readonly Replica[]): Promise<void> {
  for (const { mesh, sibling } of replicas)
    mesh.update(replicas.map((other) => other.sibling).filter(({ id }) => id !== sibling.id));
  await vi.waitFor(() => {
    for (const { mesh } of replicas)
      expect(mesh.status().map(({ state }) => state)).toEqual(replicas.slice(1).map(() => "up"));
  }, eventually);
}

async function connectClient(replica: Replica, options: ClientOptions = {}) {
  const client = startClient(replica, options);
  await vi.waitFor(() => expect(client.connection.state).toBe("ready"), eventually);
  return client;
}

type ClientOptions = Pick<RelayConnectionOptions, "meshKey" | "forceWebSocket">;

function startClient(replica: Replica, options: ClientOptions) {
  const privateKey = random.bytes(32).slice();
  const publicKey = crypto.publicKey(privateKey);
  const received: { readonly source: string; readonly bytes: Uint8Array }[] = [];
  const present: string[] = [];
  const { port } = new URL(replica.sibling.relayUrl);
  const node = relayNode({ name: "1", regionId: 1, hostName: "127.0.0.1", derpPort: Number(port), forceHttp: true });
  const connection = new RelayConnection({
    region: { regionId: 1, regionCode: "t", regionName: "t", embeddedRelay: false, avoid: false, nodes: [node] },
    privateKey,
    publicKey,
    crypto,
    random,
    clock: monotonicNow,
    dial: directRelayDialer,
    handler: {
      onPacket: (_region, source, bytes, offset, length) =>
        received.push({ source: hexEncode(source), bytes: copyOf(bytes, offset, length) }),
      onPeerPresent: (key) => present.push(hexEncode(key)),
    },
    ...options,
  });
  cleanups.push(() => connection.close());
  return { connection, publicKey, received, present };
}

type Client = Awaited<ReturnType<typeof connectClient>>;

/** Sends until the packet arrives: one for a key that no relay knows yet is dropped. */
async function reaches(from: Client, to: Client, text: string): Promise<void> {
  const packet = utf8(text);
  await vi.waitFor(
    () => {
      from.connection.send(to.publicKey, packet, 0, packet.length);
      expect(to.received).toContainEqual({ source: hexEncode(from.publicKey), bytes: packet });
    },
    { timeout: 20_000, interval: 50 },
  );
}

describe("relays of one region", () => {
  it("carry packets between clients of any two of them", async () => {
    const replicas = [await startReplica("a"), await startReplica("b"), await startReplica("c")];
    await joined(...replicas);
    const clients: Client[] = [];
    for (const replica of replicas) clients.push(await connectClient(replica));
    for (const from of clients) for (const to of clients) if (from !== to) await reaches(from, to, "over the mesh");
    const [{ keys, forwarded, error }] = replicas[0]!.mesh.status() as [ReturnType<RelayMesh["status"]>[number]];
    expect({ forwarded: forwarded > 0, error }).toEqual({ forwarded: true, error: undefined });
    expect(keys).toBeGreaterThanOrEqual(1);
  });

  it("find a restarted sibling again, with all of its clients", async () => {
    const a = await startReplica("a");
    const b = await startReplica("b");
    await joined(a, b);
    await b.stop();
    await vi.waitFor(() => expect(a.mesh.status()[0]).toMatchObject({ state: "down", keys: 0 }), eventually);
    expect(a.mesh.status()[0]!.error).toMatch(/connection refused|closed|ended/i);
    const again = await startReplica("b2", { port: Number(new URL(b.sibling.relayUrl).port) });
    await joined(a, again);
    await reaches(await connectClient(a), await connectClient(again), "after the restart");
  });

  it("use the link to a sibling that is no longer listed until it fails, and not after that", async () => {
    const a = await startReplica("a");
    const b = await startReplica("b");
    await joined(a, b);
    const [sender, client] = [await connectClient(a), await connectClient(b)];
    await vi.waitFor(() => expect(a.mesh.status()[0]!.keys).toBeGreaterThan(0), eventually);
    a.mesh.update([]);
    await reaches(sender, client, "after it");
    await b.stop();
    await vi.waitFor(() => expect(a.mesh.status()).toEqual([]), eventually);
    const packet = utf8("dropped");
    sender.connection.send(client.publicKey, packet, 0, packet.length);
    await vi.waitFor(
      () => expect(a.listener.metrics.relay.drops["unknown-destination"]).toBeGreaterThan(0),
      eventually,
    );
  });

  it("end a link that is down if the sibling is no longer listed", async () => {
    const a = await startReplica("a");
    const b = await startReplica("b");
    await joined(a, b);
    await b.stop();
    await vi.waitFor(() => expect(a.mesh.status()[0]).toMatchObject({ state: "down" }), eventually);
    a.mesh.update([]);
    expect(a.mesh.status()).toEqual([]);
  });

  it("notice an address that leads back to the server itself", async () => {
    const a = await startReplica("a");
    a.mesh.update([{ ...a.sibling, id: "wrong" }]);
    await vi.waitFor(
      () =>
        expect(a.mesh.status()[0]).toMatchObject({
          state: "self",
          error: "the relay address leads to this server itself",
        }),
      eventually,
    );
  });

  it("security R7: are not linked to a server with another mesh key", async () => {
    const a = await startReplica("a");
    const stranger = await startReplica("stranger", { meshKey: "another key", listener: { admit: () => false } });
    a.mesh.update([stranger.sibling]);
    stranger.mesh.update([a.sibling]);
    await vi.waitFor(() => {
      expect(stranger.listener.metrics.relay.closes["not-admitted"]).toBeGreaterThan(1);
      expect(a.listener.metrics.relay.closes["not-a-mesh-member"]).toBeGreaterThan(1);
    }, eventually);
    expect(a.mesh.status()[0]).toMatchObject({ state: "down", keys: 0 });
    expect(stranger.mesh.status()[0]).toMatchObject({ keys: 0 });
  });

  it("security R6: list their clients, by WebSocket too, only to those who have the mesh key", async () => {
    const a = await startReplica("a");
    const client = await connectClient(a);
    // It is closed as soon as it is ready.
    const stranger = startClient(a, { meshKey: "another key", forceWebSocket: true });
    await vi.waitFor(() => expect(a.listener.metrics.relay.closes["not-a-mesh-member"]).toBeGreaterThan(0), eventually);
    expect(stranger.present).toEqual([]);
    const member = await connectClient(a, { meshKey: MESH_KEY, forceWebSocket: true });
    await vi.waitFor(() => expect(member.present).toContain(hexEncode(client.publicKey)), eventually);
  });

  it("keep places for siblings when their address has used up its own", async () => {
    const limits = { connectionsPerAddress: 1, handshakesPerSecond: 1000, handshakeBurst: 1000 };
    const a = await startReplica("a", { listener: { limits } });
    const b = await startReplica("b");
    const client = await connectClient(a);
    await joined(a, b);
    await reaches(client, await connectClient(b), "still there");
    // Members take no place: the only place of this address is free once the client has left.
    await client.connection.close();
    await reaches(await connectClient(a), await connectClient(b), "and again");
  });
});
