import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hexEncode, utf8 } from "../base/bytes.ts";
import { nodeCryptoSuite as crypto } from "../io/host/crypto-suite.ts";
import { LinkRandom } from "../testing/link.ts";
import { type VirtualClient, VirtualRelay } from "../testing/virtual-relay.ts";
import { MeshLink } from "./mesh-link.ts";
import type { RelayLimits } from "./relay-types.ts";

const meshKey = "the mesh key of these relays";
const disco = Uint8Array.from([0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac, ...new Array(56).fill(0)]);

const clientKey = (who: number): Uint8Array => new Uint8Array(32).fill(who + 1);
const publicKeyOf = (who: number): Uint8Array => crypto.publicKey(clientKey(who));

/** Several relays in memory, and links between them that a test opens and breaks. */
class Mesh {
  readonly relays: VirtualRelay[] = [];
  readonly links = new Map<string, { readonly link: MeshLink; client: VirtualClient | undefined }>();
  readonly #keys: Uint8Array[] = [];
  readonly #maxKeys: number | undefined;

  constructor(count: number, options: { readonly maxKeys?: number; readonly limits?: Partial<RelayLimits> } = {}) {
    this.#maxKeys = options.maxKeys;
    for (let i = 0; i < count; i++) {
      const privateKey = new Uint8Array(32).fill(200 + i);
      this.#keys.push(privateKey);
      this.relays.push(new VirtualRelay(crypto, new LinkRandom(i), { meshKey, privateKey, ...options }));
    }
  }

  /** Dials from one relay to another. */
  open(from: number, to: number): MeshLink {
    const at = this.relays[to]!;
    const name = `${from}>${to}`;
    let entry = this.links.get(name);
    if (entry === undefined) {
      const link: MeshLink = new MeshLink({
        relay: this.relays[from]!.relay,
        random: new LinkRandom(from * 10 + to),
        send: (source, destination, bytes, offset, length) =>
          this.links.get(name)?.client?.client.forwardPacket(source, destination, bytes, offset, length) ?? false,
        maxKeys: this.#maxKeys,
      });
      entry = { link, client: undefined };
      this.links.set(name, entry);
    }
    const { link } = entry;
    const connection: VirtualClient = at.connect(this.#keys[from]!, {
      meshKey,
      handler: {
        onReady: () => {
          if (!link.opened(at.relay.publicKey)) return;
          connection.client.watchConnections();
          connection.client.ping(at.now);
        },
        onPong: () => link.listed(),
        onPacket: () => expect.unreachable("a mesh member is no one's destination"),
        onPeerPresent: (key) => {
          if (!link.present(key)) at.disconnect(connection);
        },
        onPeerGone: (key) => link.gone(key),
      },
    });
    entry.client = connection;
    this.pump();
    return link;
  }

  openAll(): void {
    for (let from = 0; from < this.relays.length; from++)
      for (let to = 0; to < this.relays.length; to++) if (from !== to) this.open(from, to);
  }

  break(from: number, to: number): void {
    const entry = this.links.get(`${from}>${to}`)!;
    if (entry.client?.open) this.relays[to]!.disconnect(entry.client);
    entry.client = undefined;
    entry.link.lost();
    this.pump();
  }

  join(who: number, at: number): VirtualClient {
    const client = this.relays[at]!.connect(clientKey(who));
    this.pump();
    return client;
  }

  leave(client: VirtualClient, at: number): void {
    this.relays[at]!.disconnect(client);
    this.pump();
  }

  pump(): void {
    for (let round = 0; round < 4; round++) for (const relay of this.relays) relay.pump();
  }
}

describe("a link between two relays", () => {
  it("carries packets both ways, each seen with its sender's key", () => {
    const mesh = new Mesh(2);
    const [a, b] = [mesh.join(0, 0), mesh.join(1, 1)];
    mesh.openAll();
    a.send(b.publicKey, utf8("over"), mesh.relays[0]!.now);
    b.send(a.publicKey, utf8("and back"), mesh.relays[1]!.now);
    mesh.pump();
    expect(b.received).toEqual([{ source: hexEncode(a.publicKey), bytes: utf8("over") }]);
    expect(a.received).toEqual([{ source: hexEncode(b.publicKey), bytes: utf8("and back") }]);
    expect(mesh.links.get("0>1")!.link.counts).toEqual({ forwarded: 1, dropped: 0 });
  });

  it("is up once the clients of the sibling are named, and follows them as they come and go", () => {
    const mesh = new Mesh(2);
    for (let who = 1; who <= 5; who++) mesh.join(who, 1);
    const link = mesh.open(0, 1);
    expect([link.state, link.keys]).toEqual(["up", 5]);
    const late = mesh.join(6, 1);
    expect(link.keys).toBe(6);
    mesh.leave(late, 1);
    expect(link.keys).toBe(5);
  });

  it("forgets every client of a sibling that is lost, and names them again when it is back", () => {
    const mesh = new Mesh(2);
    const [a] = [mesh.join(0, 0), mesh.join(1, 1)];
    const link = mesh.open(0, 1);
    mesh.break(0, 1);
    expect([link.state, link.keys]).toEqual(["down", 0]);
    a.send(publicKeyOf(1), disco, mesh.relays[0]!.now);
    mesh.pump();
    expect(a.gone).toEqual([{ key: hexEncode(publicKeyOf(1)), reason: 1 }]);
    mesh.open(0, 1);
    expect([link.state, link.keys]).toEqual(["up", 1]);
  });

  it("does not report a client as gone that moved to the sibling", () => {
    const mesh = new Mesh(2);
    mesh.openAll();
    const [a, b] = [mesh.join(0, 0), mesh.join(1, 0)];
    a.send(b.publicKey, utf8("here"), mesh.relays[0]!.now);
    mesh.pump();
    const moved = mesh.join(1, 1);
    mesh.leave(b, 0);
    expect(a.gone).toEqual([]);
    a.send(b.publicKey, utf8("there"), mesh.relays[0]!.now);
    mesh.pump();
    expect(moved.received.map(({ bytes }) => bytes)).toEqual([utf8("there")]);
  });

  it("finds out that an address leads back to the relay itself", () => {
    const mesh = new Mesh(1);
    const link = mesh.open(0, 0);
    expect([link.state, link.keys]).toEqual(["self", 0]);
    link.lost();
    expect(link.state).toBe("self");
  });

  it("counts the packets that the connection has no room for", () => {
    const mesh = new Mesh(2);
    const [a] = [mesh.join(0, 0), mesh.join(1, 1)];
    const link = mesh.open(0, 1);
    mesh.links.get("0>1")!.client = undefined;
    a.send(publicKeyOf(1), utf8("nowhere"), mesh.relays[0]!.now);
    mesh.pump();
    expect(link.counts).toEqual({ forwarded: 0, dropped: 1 });
  });

  it("security R9: is given up when a sibling names more clients than a server can have", () => {
    const mesh = new Mesh(2, { maxKeys: 3 });
    for (let who = 0; who < 3; who++) mesh.join(who, 1);
    const link = mesh.open(0, 1);
    expect(link.keys).toBe(3);
    mesh.join(3, 1);
    expect([link.keys, mesh.links.get("0>1")!.client!.open]).toEqual([3, false]);
  });
});

describe("three relays", () => {
  it("security R8: forward a packet at most once, even when one of them claims the clients of another", () => {
    const mesh = new Mesh(3);
    const a = mesh.join(0, 0);
    const b = mesh.join(1, 2);
    mesh.openAll();
    // Relay 1 claims to have b, towards both others.
    for (const from of [0, 2]) mesh.links.get(`${from}>1`)!.link.present(b.publicKey);
    mesh.break(0, 2);
    for (let i = 0; i < 50; i++) a.send(b.publicKey, utf8("round"), mesh.relays[0]!.now);
    mesh.pump();
    expect(b.received).toEqual([]);
    const forwarded = mesh.relays.map(({ relay }) => relay.metrics.packetsForwardedOut);
    expect(forwarded).toEqual([50, 0, 0]);
    expect(mesh.relays[1]!.relay.metrics.drops).toEqual({ "unknown-destination": 50 });
  });

  it("deliver between any two clients, whatever connected and left before", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("move" as const), who: fc.nat(3), at: fc.nat(2) }),
      fc.record({ kind: fc.constant("break" as const), from: fc.nat(2), to: fc.nat(2) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const mesh = new Mesh(3);
        mesh.openAll();
        const where = new Map<number, { readonly client: VirtualClient; readonly at: number }>();
        for (const taken of steps) {
          if (taken.kind === "move") {
            const before = where.get(taken.who);
            where.set(taken.who, { client: mesh.join(taken.who, taken.at), at: taken.at });
            if (before !== undefined) mesh.leave(before.client, before.at);
          } else if (taken.from !== taken.to) {
            mesh.break(taken.from, taken.to);
            mesh.open(taken.from, taken.to);
          }
        }
        for (const [sender, { client, at }] of where) {
          for (const [receiver, to] of where) {
            if (receiver === sender) continue;
            const packet = utf8(`${sender} to ${receiver}`);
            client.send(to.client.publicKey, packet, mesh.relays[at]!.now);
            mesh.pump();
            expect(to.client.received.at(-1)).toEqual({ source: hexEncode(client.publicKey), bytes: packet });
          }
        }
        for (const { link } of mesh.links.values()) expect(link.state).toBe("up");
      }),
      { numRuns: 60 },
    );
  });
});

describe("the connection to a sibling", () => {
  it("pings on its own, and is given up within 20 s when nothing is read", () => {
    const relay = new VirtualRelay(crypto, new LinkRandom(1), { meshKey });
    const client = relay.connect(clientKey(0), { meshKey, pingIntervalMs: 15_000 });
    relay.pump();
    relay.advance(60_000);
    expect(client.closed).toBeUndefined();
    expect(client.pongsMs).toHaveLength(4);
    client.reading = false;
    relay.advance(20_000);
    expect(client.closed).toBe("ping-timeout");
  });

  it("keeps disco packets when there is no room for data", () => {
    const relay = new VirtualRelay(crypto, new LinkRandom(1), { meshKey });
    const member = relay.connect(clientKey(0), { meshKey, maxQueuedBytes: 1_000 });
    relay.pump();
    const forward = (packet: Uint8Array): boolean =>
      member.client.forwardPacket(publicKeyOf(1), publicKeyOf(2), packet, 0, packet.length);
    while (forward(new Uint8Array(100)));
    expect(forward(disco)).toBe(true);
    expect(forward(new Uint8Array(100))).toBe(false);
    let kept = 0;
    while (forward(disco)) kept++;
    expect(kept).toBeGreaterThan(100);
    expect(member.client.queuedBytes).toBeLessThan(1_000 + 64 * 1024);
  });
});
