import { expect, it } from "vitest";
import { parsePrefix } from "wg-userspace/base/ip";
import { type NodePublicKey, nodePublicKey } from "wg-userspace/base/keys";
import type { EnginePeer } from "wg-userspace/engine";
import { PeerHold } from "./peer-hold.ts";

const key = (fill: number): NodePublicKey => nodePublicKey(new Uint8Array(32).fill(fill));
const peer = (fill: number, ...prefixes: string[]): EnginePeer => ({
  publicKey: key(fill),
  allowedIPs: prefixes.map((text) => parsePrefix(text)!),
});

const AGENT = peer(1, "fd7a:115c:a1e0::1/128");

function setUp() {
  /** What the tunnel has: prefixes by the first byte of the key. */
  const tunnel = new Map<number, EnginePeer["allowedIPs"]>();
  let ends = 0;
  const peers = new PeerHold({
    setPeer: ({ publicKey, allowedIPs }) => void tunnel.set(publicKey[0]!, allowedIPs),
    removePeer: (removed) => void tunnel.delete(removed[0]!),
    end: () => void ends++,
  });
  return { tunnel, peers, ends: () => ends };
}

it("takes what is announced until a peer is held", () => {
  const { tunnel, peers, ends } = setUp();
  peers.setPeer(AGENT);
  peers.setPeer(peer(2, "::/0"));
  peers.setPeer(peer(1));
  peers.removePeer(key(2));
  peers.removePeer(key(3));
  expect([...tunnel]).toEqual([[1, []]]);
  expect([peers.hold(key(2)), ends()]).toEqual([false, 0]);
});

it("security S27: leaves the packets of the held peer no other way, although another peer was announced before it", () => {
  const { tunnel, peers, ends } = setUp();
  peers.setPeer(peer(2, "::/0"));
  peers.setPeer(AGENT);
  expect(peers.hold(AGENT.publicKey)).toBe(true);
  peers.setPeer(peer(1));
  expect([...tunnel]).toEqual([[1, AGENT.allowedIPs]]);
  expect(ends()).toBe(0);
});

it("ends when the held peer is replaced or removed", () => {
  const { tunnel, peers, ends } = setUp();
  peers.setPeer(AGENT);
  peers.hold(AGENT.publicKey);
  peers.setPeer(peer(2, "fd7a:115c:a1e0::1/128"));
  expect(ends()).toBe(1);
  peers.removePeer(AGENT.publicKey);
  expect(ends()).toBe(2);
  expect([...tunnel.keys()]).toEqual([1]);
});
