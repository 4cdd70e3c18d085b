import { describe, expect, it } from "vitest";
import { addMs, instant } from "../base/instant.ts";
import { parseAddrPort } from "../base/ip.ts";
import { nodePublicKey } from "../base/keys.ts";
import { Endpoint } from "./endpoint.ts";
import { relayPath, type UdpPath, udpPath } from "./path.ts";
import { PathFinder } from "./path-finder.ts";

const now = instant(1_000_000);
const peer = nodePublicKey(new Uint8Array(32).fill(7));
const at = (text: string): UdpPath => udpPath(parseAddrPort(text)!);
const LAN = at("192.168.1.2:7000");

/** An endpoint whose finder found a path, with a home relay or without. */
function found(home?: number) {
  const endpoint = new Endpoint(peer);
  let probes = 0;
  const finder = new PathFinder(endpoint, 1280, "earlier", {
    probe: () => ++probes > 0,
    pingRelay: () => true,
    callMeMaybe: () => undefined,
    wakeAt: () => undefined,
    stuck: () => undefined,
    suspected: () => undefined,
    pathChanged: () => void endpoint.choose(),
  });
  endpoint.setFinder("id", finder);
  if (home !== undefined) endpoint.setHomeRegion(home);
  finder.setCoordinatorEndpoints([LAN], now);
  finder.pongReceived(finder.candidates[0]!, 1, 1310, false, now);
  return { endpoint, finder, probesSent: () => probes };
}

describe("the relay of a peer", () => {
  it("is its home region; 0 and undefined mean none", () => {
    const endpoint = new Endpoint(peer);
    expect(endpoint.setHomeRegion(3)).toBe(true);
    expect(endpoint.current).toEqual(relayPath(3, peer));
    expect([endpoint.homeRegion, endpoint.relay?.regionId]).toEqual([3, 3]);
    const before = endpoint.current;
    expect([endpoint.setHomeRegion(3), endpoint.current]).toEqual([false, before]);
    expect(endpoint.current).toBe(before);
    for (const none of [0, undefined]) {
      endpoint.setHomeRegion(4);
      expect(endpoint.setHomeRegion(none)).toBe(true);
      expect([endpoint.current, endpoint.homeRegion]).toEqual([undefined, undefined]);
    }
  });

  it("a change of it discards the measured round trip", () => {
    const endpoint = new Endpoint(peer);
    endpoint.setHomeRegion(3);
    endpoint.relayRttMs = 10;
    endpoint.setHomeRegion(3);
    expect(endpoint.relayRttMs).toBe(10);
    endpoint.setHomeRegion(4);
    expect(endpoint.relayRttMs).toBeUndefined();
    const { endpoint: measured, finder } = found(3);
    for (let i = 0; i < 2; i++) finder.relayPong(10, now);
    measured.setHomeRegion(4);
    expect(finder.quality.relayRttMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("the relay it was heard from serves while no home is known, until that relay reports it gone", () => {
    const endpoint = new Endpoint(peer);
    const heard = relayPath(5, peer);
    expect(endpoint.heard(heard, now)).toBe(true);
    expect([endpoint.current, endpoint.homeRegion]).toEqual([heard, undefined]);
    expect(endpoint.heard(heard, now)).toBe(false);
    expect([endpoint.relayLost(6), endpoint.current]).toEqual([false, heard]);
    expect([endpoint.relayLost(5), endpoint.current]).toEqual([true, undefined]);
    endpoint.setHomeRegion(3);
    expect([endpoint.heard(heard, now), endpoint.homeRegion]).toEqual([false, 3]);
    expect([endpoint.relayLost(3), endpoint.current?.kind]).toEqual([false, "relay"]); // the home stays
    endpoint.setHomeRegion(undefined);
    expect(endpoint.current).toBeUndefined();
  });
});

describe("a peer with a disco key", () => {
  it("is reached by the path that was measured, else by relay with a copy, and at last by the silent path", () => {
    for (const home of [3, undefined]) {
      const { endpoint, finder } = found(home);
      expect([endpoint.current, endpoint.copyTo, endpoint.discoId]).toEqual([LAN, undefined, "id"]);
      endpoint.noteSent(true, addMs(now, 20_000)); // after a pause it is under suspicion
      expect(finder.trusted).toBeUndefined();
      if (home === undefined) expect([endpoint.current, endpoint.copyTo]).toEqual([LAN, undefined]);
      else expect([endpoint.current?.kind, endpoint.copyTo]).toEqual(["relay", LAN]);
    }
  });

  it("is reached by the slow path while there is no relay to prefer", () => {
    const { endpoint, finder } = found(3);
    for (let i = 0; i < 2; i++) finder.relayPong(1, now);
    for (let i = 0; i < 5; i++) finder.pongReceived(finder.candidates[0]!, 500, 1310, false, now);
    finder.quality.beat(finder.tally, now);
    expect([endpoint.choose(), endpoint.current?.kind, endpoint.copyTo]).toEqual([true, "relay", undefined]);
    expect([endpoint.setHomeRegion(undefined), endpoint.current]).toEqual([true, LAN]);
  });

  it("that sends another way puts the path in doubt, and changes nothing else", () => {
    const { endpoint, probesSent } = found(3);
    const later = addMs(now, 1_000);
    expect([endpoint.heard(LAN, later), probesSent()]).toEqual([false, 0]);
    expect([endpoint.heard(at("10.0.0.1:1"), later), probesSent()]).toEqual([false, 1]);
    expect(endpoint.current).toBe(LAN);
    const { endpoint: other, probesSent: sent } = found(3);
    expect([other.heard(relayPath(3, peer), later), sent()]).toEqual([false, 1]);
  });

  it("is forgotten with its key", () => {
    const { endpoint } = found(3);
    endpoint.setFinder(undefined, undefined);
    expect([endpoint.current?.kind, endpoint.finder, endpoint.discoId]).toEqual(["relay", undefined, undefined]);
  });
});

describe("a plain WireGuard peer", () => {
  it("is reached where it was configured, then where it was heard, before any relay", () => {
    const endpoint = new Endpoint(peer);
    endpoint.setHomeRegion(3);
    expect([endpoint.setUdpPaths([LAN]), endpoint.current]).toEqual([true, LAN]);
    expect(endpoint.setUdpPaths([LAN])).toBe(false);
    const roamed = at("10.0.0.1:1");
    expect([endpoint.heard(roamed, now), endpoint.current]).toEqual([true, roamed]);
    expect(endpoint.heard(roamed, addMs(now, 1))).toBe(false);
    expect(endpoint.heard(relayPath(3, peer), addMs(now, 1))).toBe(false);
    endpoint.noteSent(true, now);
    expect(endpoint.current).toBe(roamed);
  });
});
