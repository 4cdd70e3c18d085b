import { describe, expect, it } from "vitest";
import { type Instant, instant } from "../base/instant.ts";
import { parseAddrPort, parseIp } from "../base/ip.ts";
import { type NodePublicKey, nodePublicKey } from "../base/keys.ts";
import { describePath, PathTable, relayPath, type UdpPath, udpPath } from "./path.ts";
import { PeerMap } from "./peer-map.ts";
import { RoamingPaths } from "./roaming-paths.ts";

const at = (text: string): UdpPath => udpPath(parseAddrPort(text)!);
const now = instant(1_000);
/** A key whose first and last byte are given. */
function key(first: number, last: number): NodePublicKey {
  const bytes = new Uint8Array(32).fill(7);
  bytes[0] = first;
  bytes[31] = last;
  return nodePublicKey(bytes);
}

describe("a UDP path", () => {
  it("names its address and port for cookies, the port little-endian, and the host alone for limits", () => {
    const path = at("10.1.2.3:258");
    expect(path).toMatchObject({ kind: "udp", id: Uint8Array.of(10, 1, 2, 3, 2, 1) });
    expect(new Uint8Array(path.hostId)).toEqual(Uint8Array.of(10, 1, 2, 3));
    expect(at("[2001:db8::1]:65535").id).toHaveLength(18);
  });

  it("is shown as address and port, a relay by its region", () => {
    expect([describePath(at("10.0.0.1:5")), describePath(relayPath(7, key(1, 1)))]).toEqual(["10.0.0.1:5", "relay 7"]);
  });
});

describe("the table of paths", () => {
  /** Parses as the shell would, and counts. */
  function table() {
    const parsed: string[] = [];
    const paths = new PathTable();
    const udp = (address: string, port: number) =>
      paths.udp(address, port, (text) => {
        parsed.push(text);
        return parseIp(text);
      });
    return { udp, parsed };
  }

  it("gives one object for one address, parsed once", () => {
    const { udp, parsed } = table();
    const first = udp("10.0.0.1", 1)!;
    expect(first).toEqual(at("10.0.0.1:1"));
    const others = [udp("10.0.0.2", 1), udp("10.0.0.1", 2), udp("10.0.0.2", 2)];
    expect(new Set([first, ...others]).size).toBe(4);
    expect(udp("10.0.0.1", 1)).toBe(first);
    expect(udp("10.0.0.1", 1)).toBe(first);
    expect(parsed).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"]);
  });

  it("has none for an invalid address, and parses it again", () => {
    const { udp, parsed } = table();
    expect([udp("nowhere", 1), udp("nowhere", 1)]).toEqual([undefined, undefined]);
    expect(parsed).toEqual(["nowhere", "nowhere"]);
  });

  it("remembers 4096 paths, and forgets the oldest for one more", () => {
    const { udp, parsed } = table();
    const paths = Array.from({ length: 4096 }, (_, i) => udp("10.0.0.1", 1 + i));
    expect(udp("10.0.0.1", 1)).toBe(paths[0]);
    expect(parsed).toHaveLength(4096);
    udp("10.0.0.1", 5000);
    expect(udp("10.0.0.1", 2)).toBe(paths[1]);
    expect(udp("10.0.0.1", 1)).not.toBe(paths[0]);
  });
});

describe("the map of peers", () => {
  it("has one endpoint per key, found by the bytes of the key", () => {
    const peers = new PeerMap();
    const a = peers.add(key(1, 1));
    const b = peers.add(key(1, 2));
    expect(peers.add(key(1, 1))).toBe(a);
    expect([peers.size, [...peers]]).toEqual([2, [a, b]]);
    expect([a.peer, b.peer]).toEqual([key(1, 1), key(1, 2)]);
    // Each key is looked up after each other one: remembering the last one must not mix them up.
    for (const [first, last, endpoint] of [
      [1, 1, a],
      [1, 1, a],
      [1, 2, b],
      [2, 2, undefined],
      [1, 1, a],
    ] as const)
      expect(peers.find(key(first, last))).toBe(endpoint);
  });

  it("forgets a peer at once, even the one that was looked up last", () => {
    const peers = new PeerMap();
    peers.add(key(1, 1));
    expect(peers.find(key(1, 1))).toBeDefined();
    expect([peers.remove(key(1, 1)), peers.remove(key(1, 1)), peers.size]).toEqual([true, false, 0]);
    expect(peers.find(key(1, 1))).toBeUndefined();
  });

  it("gives one path object per relay region and peer, and none for an unknown peer", () => {
    const peers = new PeerMap();
    peers.add(key(1, 1));
    peers.add(key(1, 2));
    const path = peers.relayPath(3, key(1, 1))!;
    expect(path).toEqual({ kind: "relay", id: key(1, 1), regionId: 3, peer: key(1, 1) });
    expect(peers.relayPath(3, key(1, 1))).toBe(path);
    expect(peers.relayPath(4, key(1, 1))).not.toBe(path);
    expect(peers.relayPath(3, key(1, 2))).not.toBe(path);
    expect(peers.relayPath(3, key(9, 9))).toBeUndefined();
  });
});

describe("the paths of a plain WireGuard peer", () => {
  const later = (ms: number): Instant => instant(now + ms);

  it("begin with the first configured one, until it is heard from another", () => {
    const paths = new RoamingPaths();
    const [a, b, c] = [at("10.0.0.1:1"), at("10.0.0.2:1"), at("10.0.0.3:1")];
    expect(paths.current).toBeUndefined();
    paths.configure([a, b]);
    expect(paths.current).toBe(a);
    expect(paths.heard(b, now)).toBe(true);
    expect(paths.current).toBe(b);
    expect(paths.heard(b, later(1))).toBe(false);
    expect(paths.heard(c, later(1))).toBe(false); // both at once: the one in use stays
    expect(paths.heard(c, later(2))).toBe(true);
    expect(paths.current).toBe(c);
  });

  it("keep what was heard when the configuration changes, and drop what was not", () => {
    const paths = new RoamingPaths();
    const [a, b, c] = [at("10.0.0.1:1"), at("10.0.0.2:1"), at("10.0.0.3:1")];
    paths.configure([a, b]);
    paths.heard(b, now);
    paths.configure([c]);
    expect(paths.current).toBe(b);
    const silent = new RoamingPaths();
    silent.configure([a, b]);
    silent.configure([b, c]);
    expect(silent.current).toBe(b);
    silent.configure([c]);
    expect(silent.current).toBe(c);
    silent.configure([]);
    expect(silent.current).toBeUndefined();
  });

  it("treat an equal address in another object as the same", () => {
    const paths = new RoamingPaths();
    const a = at("10.0.0.1:1");
    paths.configure([a, at("10.0.0.2:1")]);
    paths.configure([at("10.0.0.2:1"), at("10.0.0.1:1")]);
    expect(paths.current).toBe(a);
  });

  it("are 32 at most: the one heard longest ago makes room, never the one in use", () => {
    const paths = new RoamingPaths();
    const all = Array.from({ length: 40 }, (_, i) => at(`10.0.0.1:${i + 1}`));
    paths.configure(all); // 33 to 40 are not taken
    for (let i = 31; i >= 0; i--) paths.heard(all[i]!, later(100 - i)); // 0 last
    expect(paths.current).toBe(all[0]);
    // A new one takes the place of 31, whose time was the earliest; its own is earlier still.
    expect(paths.heard(all[35]!, later(1))).toBe(false);
    paths.configure([]);
    expect(paths.heard(all[36]!, later(200))).toBe(true);
    expect(paths.current).toBe(all[36]);
  });

  it("heard at the same time, those not in use make room before the one that is", () => {
    const paths = new RoamingPaths();
    const all = Array.from({ length: 33 }, (_, i) => at(`10.0.0.1:${i + 1}`));
    paths.configure(all.slice(0, 32));
    expect(paths.current).toBe(all[0]);
    expect(paths.heard(all[32]!, now)).toBe(true);
    // Only an address that was never heard loses its place.
    paths.configure([all[0]!]);
    expect(paths.current).toBe(all[32]);
  });
});
