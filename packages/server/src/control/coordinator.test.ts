import type { MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import { agentAddresses, uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import {
  CoordinateRequestSchema,
  type CoordinateResponseSchema,
  CoordinateResponse_PeerUpdate_Kind as Kind,
  NodeSchema,
} from "coder-protocol/gen/tailnet_pb.js";
import { nodeToProto } from "coder-protocol/tailnet/node";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Coordinator, type PeerHandle } from "./coordinator.ts";
import { MAX_FORMER_PER_HOLDER } from "./former-peers.ts";
import { MAX_GRACE_KEYS_PER_HOLDER } from "./known-keys.ts";
import { agentAuth as agentAuthOf, clientAuth as clientAuthOf, type PeerAuth } from "./peer-auth.ts";

type Response = MessageInitShape<typeof CoordinateResponseSchema>;

const AGENT = uuid(0xa);
const OTHER_AGENT = uuid(0xb);
const CLIENT = uuid(1);
const CLIENT_2 = uuid(2);
const MINUTE = 60_000;

const agentAuth = (id: string) => agentAuthOf(id, (event) => event.kind === "user-gone" && event.userId === id);
const clientAuth = (mayReach: (id: string) => boolean, user = "ada") =>
  clientAuthOf(mayReach, {
    holder: `user ${user}`,
    endedBy: (event) => event.kind === "user-gone" && event.userId === user,
  });

function uuid(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`;
}

function keyOf(n: number): Uint8Array {
  return new Uint8Array(32).fill(n);
}

/** Like keyOf, for more than 255 keys. */
function keyOfNumber(n: number): Uint8Array {
  const key = new Uint8Array(32).fill(255);
  new DataView(key.buffer).setUint32(0, n);
  return key;
}

function nodeOf(n: number, addresses: readonly string[], region = 999) {
  return nodeToProto({
    id: BigInt(n),
    asOfUnixMs: 0,
    key: keyOf(n),
    disco: "",
    preferredDerp: region,
    derpLatency: new Map(),
    derpForcedWebsocket: new Map(),
    addresses: addresses.map((address) => `${address}/128`),
    allowedIps: addresses.map((address) => `${address}/128`),
    endpoints: [],
  });
}

const agentNode = (n: number, id = AGENT) => nodeOf(n, agentAddresses(id));
const clientNode = (n: number) => nodeOf(n, [`fd7a:115c:a1e0::${n.toString(16)}`]);

/** One connected peer in a test: the messages it received, as text. */
class Peer {
  readonly heard: string[] = [];
  ended = false;
  keepsUp = true;
  readonly #handle: PeerHandle;

  constructor(coordinator: Coordinator, id: string, auth: PeerAuth, now = 0, authorised?: ReadonlySet<string>) {
    this.#handle = coordinator.connect(
      id,
      auth,
      {
        send: (response) => {
          if (this.keepsUp) this.heard.push(...words(response));
          return this.keepsUp;
        },
        end: () => {
          this.ended = true;
        },
      },
      now,
      authorised,
    );
  }

  send(request: MessageInitShape<typeof CoordinateRequestSchema>, now = 0): void {
    this.#handle.handle(create(CoordinateRequestSchema, request), now);
  }
  node(node: ReturnType<typeof clientNode>, now = 0): void {
    this.send({ updateSelf: { node } }, now);
  }
  tunnel(to: string): void {
    this.send({ addTunnel: { id: uuidToBytes(to) } });
  }
  lost(now = 0): void {
    this.#handle.lost(now);
  }
  take(): string[] {
    return this.heard.splice(0);
  }
}

function did(peer: Peer, act: () => void): Peer {
  act();
  return peer;
}

function words(response: Response): string[] {
  const updates = (response.peerUpdates ?? []).map((update) => {
    const id = uuidFromBytes(update.id!)!;
    const name = Kind_NAMES[update.kind ?? 0];
    return update.kind === Kind.NODE ? `node ${short(id)} ${update.node!.key![2]}` : `${name} ${short(id)}`;
  });
  return response.error === undefined || response.error === "" ? updates : [...updates, `error: ${response.error}`];
}

const Kind_NAMES = ["unspecified", "node", "disconnected", "lost", "ready"];
const short = (id: string): string =>
  id === AGENT ? "agent" : id === OTHER_AGENT ? "other agent" : `client${Number(id.slice(-2))}`;

function setup() {
  const coordinator = new Coordinator();
  const agent = new Peer(coordinator, AGENT, agentAuth(AGENT));
  const client = new Peer(
    coordinator,
    CLIENT,
    clientAuth((id) => id === AGENT),
  );
  return { coordinator, agent, client };
}

describe("Coordinator", () => {
  it("exchanges nodes both ways over a tunnel, in whatever order they come", () => {
    const { agent, client } = setup();
    agent.node(agentNode(10));
    client.tunnel(AGENT);
    expect(client.take()).toEqual(["node agent 10"]);
    expect(agent.take()).toEqual([]);
    client.node(clientNode(1));
    expect(agent.take()).toEqual(["node client1 1"]);
  });

  it("notifies a tunnel's source when an absent destination comes", () => {
    const coordinator = new Coordinator();
    const client = new Peer(
      coordinator,
      CLIENT,
      clientAuth(() => true),
    );
    client.node(clientNode(1));
    client.tunnel(AGENT);
    const agent = new Peer(coordinator, AGENT, agentAuth(AGENT));
    expect(agent.take()).toEqual(["node client1 1"]);
    agent.node(agentNode(10));
    expect(client.take()).toEqual(["node agent 10"]);
  });

  it("sends a node again only when it changed", () => {
    const { agent, client } = setup();
    client.tunnel(AGENT);
    agent.node(agentNode(10));
    agent.node(agentNode(10));
    expect(client.take()).toEqual(["node agent 10"]);
    agent.node(nodeOf(10, agentAddresses(AGENT), 7));
    expect(client.take()).toEqual(["node agent 10"]);
  });

  it("handles the parts of one request in the documented order: node, tunnel, then disconnect", () => {
    const { agent, client } = setup();
    agent.node(agentNode(10));
    client.send({ updateSelf: { node: clientNode(1) }, addTunnel: { id: uuidToBytes(AGENT) }, disconnect: {} });
    expect(client.take()).toEqual(["node agent 10"]);
    expect(client.ended).toBe(true);
    expect(agent.take()).toEqual(["node client1 1", "disconnected client1"]);
  });

  it("reports lost for a broken stream and disconnected for a disconnect, to those who knew the peer, once", () => {
    const { coordinator, agent, client } = setup();
    agent.node(agentNode(10));
    client.node(clientNode(1));
    client.tunnel(AGENT);
    agent.take();
    client.lost();
    client.lost();
    expect(agent.take()).toEqual(["lost client1"]);
    const unknown = new Peer(
      coordinator,
      CLIENT_2,
      clientAuth(() => true),
    );
    unknown.tunnel(AGENT);
    unknown.lost();
    expect(agent.take()).toEqual([]);
  });

  it("keeps tunnels to an agent that disconnected: its return is reported at once, both ways", () => {
    const { coordinator, agent, client } = setup();
    agent.node(agentNode(10));
    client.node(clientNode(1));
    client.tunnel(AGENT);
    client.take();
    agent.lost();
    expect(client.take()).toEqual(["lost agent"]);
    const again = new Peer(coordinator, AGENT, agentAuth(AGENT));
    expect(again.take()).toEqual(["node client1 1"]);
    again.node(agentNode(11));
    expect(client.take()).toEqual(["node agent 11"]);
  });

  it("ends the old stream of a peer that connects twice, and the old one's end changes nothing", () => {
    const { coordinator, agent, client } = setup();
    client.node(clientNode(1));
    client.tunnel(AGENT);
    const again = new Peer(coordinator, AGENT, agentAuth(AGENT));
    expect(agent.take().at(-1)).toBe("error: peer ID overwritten by new connection");
    expect(agent.ended).toBe(true);
    agent.lost();
    again.node(agentNode(12));
    expect(client.take()).toEqual(["node agent 12"]);
  });

  it("notifies both sides when a tunnel is removed, and forgets it", () => {
    const { agent, client } = setup();
    agent.node(agentNode(10));
    client.node(clientNode(1));
    client.tunnel(AGENT);
    client.take();
    agent.take();
    client.send({ removeTunnel: { id: uuidToBytes(AGENT) } });
    expect(client.take()).toEqual(["disconnected agent"]);
    expect(agent.take()).toEqual(["disconnected client1"]);
    agent.node(agentNode(11));
    expect(client.take()).toEqual([]);
  });

  it("passes readiness on over a shared tunnel, and refuses it, without ending, where there is none", () => {
    const { agent, client } = setup();
    agent.node(agentNode(10));
    agent.send({ readyForHandshake: [{ id: uuidToBytes(CLIENT) }] });
    expect(agent.take()).toEqual([`error: ready for handshake error: you do not share a tunnel with "${CLIENT}"`]);
    client.tunnel(AGENT);
    client.take();
    agent.send({ readyForHandshake: [{ id: uuidToBytes(CLIENT) }] });
    expect(client.take()).toEqual(["ready agent"]);
    expect(agent.ended).toBe(false);
  });

  it("disconnects a peer that does not keep up, and notifies its partners", () => {
    const { coordinator, agent, client } = setup();
    client.node(clientNode(1));
    client.tunnel(AGENT);
    agent.node(agentNode(10));
    client.take();
    agent.keepsUp = false;
    client.node(clientNode(2));
    expect(agent.ended).toBe(true);
    expect(coordinator.isConnected(AGENT)).toBe(false);
    expect(client.take()).toEqual(["disconnected agent"]);
  });

  describe("authorization", () => {
    const refusals: [string, (peers: ReturnType<typeof setup>) => Peer, RegExp][] = [
      [
        "security 11: a client's tunnel to an agent that is not its own",
        ({ client }) => did(client, () => client.tunnel(OTHER_AGENT)),
        /^error: authorization: agent/,
      ],
      [
        "a tunnel opened by an agent",
        ({ agent }) => did(agent, () => agent.tunnel(CLIENT)),
        /^error: authorization: agents open no tunnels/,
      ],
      [
        "readiness announced by a client",
        ({ client }) => did(client, () => client.send({ readyForHandshake: [{ id: uuidToBytes(AGENT) }] })),
        /^error: authorization: clients/,
      ],
      [
        "security 12: an agent with another agent's address",
        ({ agent }) => did(agent, () => agent.node(agentNode(10, OTHER_AGENT))),
        /^error: authorization: .* does not belong/,
      ],
      [
        "security 12: an agent with foreign allowed IPs",
        ({ agent }) => did(agent, () => agent.node({ ...agentNode(10), allowedIps: ["fd7a:115c:a1e0::1/128"] })),
        /^error: authorization: .* does not belong/,
      ],
      [
        "security 12: an agent that wants a whole network",
        ({ agent }) => did(agent, () => agent.node({ ...agentNode(10), allowedIps: ["fd7a:115c:a1e0::/48"] })),
        /^error: authorization: .* not a single/,
      ],
      [
        "a client that wants a whole network",
        ({ client }) => did(client, () => client.node({ ...clientNode(1), allowedIps: ["::/0"] })),
        /^error: authorization: .* not a single/,
      ],
      [
        "a malformed peer id",
        ({ client }) => did(client, () => client.send({ addTunnel: { id: new Uint8Array(3) } })),
        /^error: a peer id has 16 bytes/,
      ],
      [
        "a malformed node",
        ({ client }) => did(client, () => client.node({ ...clientNode(1), key: new Uint8Array(5) })),
        /^error: invalid node/,
      ],
    ];
    it.each(refusals)("refuses %s, and ends the stream", (_what, act, error) => {
      const peers = setup();
      const other = peers.agent;
      const peer = act(peers);
      expect(peer.take().at(-1)).toMatch(error);
      expect(peer.ended).toBe(true);
      if (peer !== other) expect(other.take()).toEqual([]);
    });
  });

  describe("keys for the relay", () => {
    it("security 17: knows a key while its peer is connected and 15 minutes after it was lost", () => {
      const { coordinator, client } = setup();
      expect(coordinator.knowsKey(keyOf(1), 0)).toBe(false);
      client.node(clientNode(1));
      expect(coordinator.knowsKey(keyOf(1), 0)).toBe(true);
      client.lost(1_000);
      expect(coordinator.knowsKey(keyOf(1), 14 * MINUTE)).toBe(true);
      expect(coordinator.knowsKey(keyOf(1), 16 * MINUTE)).toBe(false);
    });

    it("announces keys that come into use and keys whose time is over, once each", () => {
      const came: number[] = [];
      const gone: number[] = [];
      const coordinator = new Coordinator({
        onKey: (key) => came.push(key[0]!),
        onKeyGone: (key) => gone.push(key[0]!),
      });
      const client = new Peer(
        coordinator,
        CLIENT,
        clientAuth(() => true),
      );
      client.node(clientNode(1));
      client.node(clientNode(1));
      client.node(clientNode(3));
      client.lost(0);
      coordinator.sweep(1 * MINUTE);
      expect([came, gone]).toEqual([[1, 3], []]);
      coordinator.sweep(20 * MINUTE);
      coordinator.sweep(21 * MINUTE);
      expect(gone.sort()).toEqual([1, 3]);
    });

    it("limits the keys of a peer that announces one after the other, and of a user who returns as other peers", () => {
      const gone: Uint8Array[] = [];
      const coordinator = new Coordinator({ onKeyGone: (key) => gone.push(key) });
      const client = new Peer(
        coordinator,
        CLIENT,
        clientAuth(() => true),
      );
      for (let n = 1; n <= 200; n++) client.node(clientNode(n), n);
      expect(coordinator.remembered.keys).toBe(3);
      expect(gone).toHaveLength(197);
      expect([197, 198, 199, 200].map((n) => coordinator.knowsKey(keyOf(n), 200))).toEqual([false, true, true, true]);

      for (let n = 0; n < 3_000; n++) {
        const again = new Peer(
          coordinator,
          uuid(1_000 + n),
          clientAuth(() => true),
        );
        again.node({ ...clientNode(1), key: Buffer.concat([Buffer.from("np"), keyOfNumber(n)]) }, n);
        again.lost(n);
      }
      expect(coordinator.remembered.keys).toBe(MAX_GRACE_KEYS_PER_HOLDER + 1);
      expect(coordinator.remembered.lostPeers).toBe(MAX_FORMER_PER_HOLDER);
      expect(coordinator.knowsKey(keyOfNumber(2_999), 3_000)).toBe(true);
    });

    it("a key of two peers stays while one of them has it", () => {
      const { coordinator, agent, client } = setup();
      agent.node(agentNode(10));
      client.node(clientNode(10));
      coordinator.expel(CLIENT, "access revoked", 5);
      expect(coordinator.knowsKey(keyOf(10), 5)).toBe(true);
      coordinator.expel(AGENT, "access revoked", 5);
      expect(coordinator.knowsKey(keyOf(10), 5)).toBe(false);
      expect(coordinator.remembered).toEqual({ keys: 0, lostPeers: 0 });
    });

    it("security 16: removes the key of an expelled peer at once, and notifies its partners", () => {
      const gone: number[] = [];
      const coordinator = new Coordinator({ onKeyGone: (key) => gone.push(key[0]!) });
      const agent = new Peer(coordinator, AGENT, agentAuth(AGENT));
      const client = new Peer(
        coordinator,
        CLIENT,
        clientAuth(() => true),
      );
      agent.node(agentNode(10));
      client.node(clientNode(1));
      client.tunnel(AGENT);
      agent.take();
      coordinator.expel(CLIENT, "access revoked", 5);
      expect(agent.take()).toEqual(["disconnected client1"]);
      expect(client.take().at(-1)).toBe("error: access revoked");
      expect(coordinator.knowsKey(keyOf(1), 5)).toBe(false);
      expect(gone).toEqual([1]);
    });
  });

  it("stores and passes on nothing of a node in unknown fields", () => {
    const { agent, client, coordinator } = setup();
    const node = agentNode(10);
    const unknown = { no: 99, wireType: 2, data: new Uint8Array(100_000) };
    agent.send({ updateSelf: { node: { ...node, $unknown: [unknown] } as typeof node } });
    client.tunnel(AGENT);
    expect(client.take()).toEqual(["node agent 10"]);
    expect(toBinary(NodeSchema, coordinator.node(AGENT)!).length).toBeLessThan(500);
  });

  describe("an id that is connected already", () => {
    it("security 11: is not given to another kind or holder, who learns nothing", () => {
      const { coordinator, agent, client } = setup();
      agent.node(agentNode(10));
      client.node(clientNode(1));
      client.tunnel(AGENT);
      client.take();
      const [asAgent, asMallory] = [AGENT, CLIENT].map(
        (id) =>
          new Peer(
            coordinator,
            id,
            clientAuth(() => true, "mallory"),
          ),
      );
      for (const peer of [asAgent!, asMallory!]) {
        peer.node(clientNode(66));
        peer.tunnel(OTHER_AGENT);
        expect(peer.take()).toEqual(["error: peer ID belongs to somebody else"]);
        expect(peer.ended).toBe(true);
        peer.lost();
      }
      expect([agent.ended, client.ended]).toEqual([false, false]);
      agent.node(agentNode(11));
      expect(client.take()).toEqual(["node agent 11"]);
    });

    it("keeps, of its tunnels, those that the new connection may have", () => {
      const coordinator = new Coordinator();
      const [agent, other] = [AGENT, OTHER_AGENT].map((id) => new Peer(coordinator, id, agentAuth(id)));
      const auth = clientAuth(() => true);
      const client = new Peer(coordinator, CLIENT, auth);
      agent!.node(agentNode(10));
      other!.node(agentNode(11, OTHER_AGENT));
      client.node(clientNode(1));
      client.tunnel(AGENT);
      client.tunnel(OTHER_AGENT);
      for (const peer of [agent!, other!]) expect(peer.take()).toEqual(["node client1 1"]);

      const again = new Peer(coordinator, CLIENT, auth, 0, new Set([AGENT]));
      expect(again.take()).toEqual(["node agent 10"]);
      expect(other!.take()).toEqual(["disconnected client1"]);
      again.node(clientNode(2));
      expect(agent!.take()).toEqual(["node client1 2"]);
      expect(other!.take()).toEqual([]);
      expect(coordinator.tunnelsOf(CLIENT)).toEqual([AGENT]);
    });
  });

  describe("security 16: the end of a right", () => {
    const ends = (user: string) => (auth: PeerAuth) => auth.endedBy({ kind: "user-gone", userId: user });

    function lostTunnel() {
      const gone: number[] = [];
      const coordinator = new Coordinator({ onKeyGone: (key) => gone.push(key[0]!) });
      const agent = new Peer(coordinator, AGENT, agentAuth(AGENT));
      const client = new Peer(
        coordinator,
        CLIENT,
        clientAuth(() => true),
      );
      agent.node(agentNode(10));
      client.node(clientNode(1));
      client.tunnel(AGENT);
      client.take();
      agent.take();
      return { coordinator, agent, client, gone };
    }

    it("reaches the agent and the relay when the client's control connection was lost before", () => {
      const { coordinator, agent, client, gone } = lostTunnel();
      client.lost(MINUTE);
      expect(agent.take()).toEqual(["lost client1"]);
      coordinator.revoke(ends("bob"), "access revoked", 2 * MINUTE);
      expect(agent.take()).toEqual([]);
      coordinator.revoke(ends("ada"), "access revoked", 2 * MINUTE);
      expect(agent.take()).toEqual(["disconnected client1"]);
      expect(coordinator.knowsKey(keyOf(1), 2 * MINUTE)).toBe(false);
      expect(gone).toEqual([1]);
      expect(coordinator.remembered.lostPeers).toBe(0);
    });

    it("takes a tunnel of an earlier connection away, and leaves those that the peer has again", () => {
      const { coordinator, agent, client } = lostTunnel();
      const other = new Peer(coordinator, OTHER_AGENT, agentAuth(OTHER_AGENT));
      other.node(agentNode(11, OTHER_AGENT));
      client.tunnel(OTHER_AGENT);
      client.lost(MINUTE);
      const back = new Peer(
        coordinator,
        CLIENT,
        clientAuth(() => true),
      );
      back.node(clientNode(1));
      back.tunnel(AGENT);
      agent.take();
      other.take();
      coordinator.endTunnels((auth, to) => to === OTHER_AGENT && auth.holder === "user ada", "access ended", MINUTE);
      expect([agent.take(), other.take()]).toEqual([[], ["disconnected client1"]]);
      expect(coordinator.knowsKey(keyOf(1), MINUTE)).toBe(true);
    });

    it("reaches the agent hours after the loss, when the relay has long forgotten the key", () => {
      const { coordinator, agent, client } = lostTunnel();
      client.lost(0);
      for (let minute = 1; minute < 600; minute += 30) coordinator.sweep(minute * MINUTE);
      agent.take();
      coordinator.revoke(ends("ada"), "access revoked", 600 * MINUTE);
      expect(agent.take()).toEqual(["disconnected client1"]);
    });

    it("reaches an agent that was away itself, once it is back, until the peer is back too", () => {
      const { coordinator, agent, client } = lostTunnel();
      client.lost(0);
      agent.lost(0);
      coordinator.revoke(ends("ada"), "access revoked", MINUTE);
      const back = new Peer(coordinator, AGENT, agentAuth(AGENT), 2 * MINUTE);
      expect(back.take()).toEqual(["disconnected client1"]);
      const again = new Peer(
        coordinator,
        CLIENT,
        clientAuth(() => true),
        3 * MINUTE,
      );
      again.node(clientNode(1));
      again.tunnel(AGENT);
      expect(back.take()).toEqual(["node client1 1"]);
      back.lost(4 * MINUTE);
      expect(new Peer(coordinator, AGENT, agentAuth(AGENT), 5 * MINUTE).take()).toEqual(["node client1 1"]);
    });

    it("is repeated to an agent that may not have received it: its connection was dying", () => {
      const { coordinator, agent } = lostTunnel();
      coordinator.revoke(ends("ada"), "access revoked", MINUTE);
      expect(agent.take()).toEqual(["disconnected client1"]);
      agent.lost(MINUTE);
      expect(new Peer(coordinator, AGENT, agentAuth(AGENT), 2 * MINUTE).take()).toEqual(["disconnected client1"]);
    });

    it("reaches the clients of an agent that was lost before", () => {
      const { coordinator, agent, client, gone } = lostTunnel();
      agent.lost(0);
      expect(client.take()).toEqual(["lost agent"]);
      coordinator.revoke(ends(AGENT), "access revoked", MINUTE);
      expect(client.take()).toEqual(["disconnected agent"]);
      expect(gone).toEqual([10]);
    });

    it("ends tunnels of a lost peer that came back without them", () => {
      const { coordinator, agent, client } = lostTunnel();
      client.lost(0);
      const again = new Peer(
        coordinator,
        CLIENT,
        clientAuth(() => true),
        MINUTE,
      );
      again.node(clientNode(2));
      expect(agent.take()).toEqual(["lost client1"]);
      coordinator.revoke(ends("ada"), "access revoked", 2 * MINUTE);
      expect(agent.take()).toEqual(["disconnected client1"]);
      expect([1, 2].map((n) => coordinator.knowsKey(keyOf(n), 2 * MINUTE))).toEqual([false, false]);
    });

    it("happens on its own when a peer is lost for longer than a connection inside the tunnel may last", () => {
      const { coordinator, agent, client } = lostTunnel();
      client.lost(0);
      coordinator.sweep(71 * 60 * MINUTE);
      expect(agent.take()).toEqual(["lost client1"]);
      coordinator.sweep(73 * 60 * MINUTE);
      expect(agent.take()).toEqual(["disconnected client1"]);
      expect(coordinator.remembered).toEqual({ keys: 1, lostPeers: 0 });
    });
  });

  it("security 11: whatever happens, each peer knows the latest nodes of its partners and of no other peer", () => {
    const ids = [1, 2, 3].map(uuid);
    const agents = [0xa, 0xb].map(uuid);
    const action = fc.oneof(
      fc.record({ do: fc.constant("node" as const), who: fc.nat(4), value: fc.integer({ min: 1, max: 200 }) }),
      fc.record({ do: fc.constant("tunnel" as const), who: fc.nat(2), value: fc.nat(1) }),
      fc.record({ do: fc.constant("untunnel" as const), who: fc.nat(2), value: fc.nat(1) }),
      fc.record({ do: fc.constant("lost" as const), who: fc.nat(4), value: fc.nat(0) }),
      fc.record({ do: fc.constant("connect" as const), who: fc.nat(4), value: fc.nat(0) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const coordinator = new Coordinator();
        const all = [...ids, ...agents];
        const peers = new Map<string, Peer>();
        const nodes = new Map<string, number>();
        const tunnels = new Set<string>();
        for (const { do: what, who, value } of actions) {
          const id = all[who]!;
          const peer = peers.get(id);
          if (what === "connect" && peer === undefined) {
            const auth = agents.includes(id) ? agentAuth(id) : clientAuth(() => true);
            peers.set(id, new Peer(coordinator, id, auth));
          } else if (peer === undefined) continue;
          else if (what === "node") {
            peer.node(agents.includes(id) ? agentNode(value, id) : clientNode(value));
            nodes.set(id, value);
          } else if (what === "tunnel") {
            peer.tunnel(agents[value]!);
            tunnels.add(`${id}>${agents[value]}`);
          } else if (what === "untunnel") {
            peer.send({ removeTunnel: { id: uuidToBytes(agents[value]!) } });
            tunnels.delete(`${id}>${agents[value]}`);
          } else if (what === "lost") {
            peer.lost();
            peers.delete(id);
            nodes.delete(id);
            for (const tunnel of tunnels) if (tunnel.startsWith(id)) tunnels.delete(tunnel);
          }
        }
        for (const [id, peer] of peers) {
          const knows = new Map<string, string>();
          for (const line of peer.heard) {
            const [kind, ...rest] = line.split(" ");
            if (kind === "node") knows.set(rest.slice(0, -1).join(" "), rest.at(-1)!);
            else knows.delete(rest.join(" "));
          }
          const expected = new Map(
            all
              .filter((other) => nodes.has(other) && (tunnels.has(`${id}>${other}`) || tunnels.has(`${other}>${id}`)))
              .map((other) => [short(other), String(nodes.get(other))]),
          );
          expect(new Map([...knows].sort())).toEqual(new Map([...expected].sort()));
        }
      }),
      { numRuns: 300 },
    );
  });
});
