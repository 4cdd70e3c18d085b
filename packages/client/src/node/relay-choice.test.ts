import { expect, it } from "vitest";
import { derpMapOf, relayNode } from "wg-userspace/derp/map";
import { describeRegions, findProxyRegion, findRegion, routeLatencies } from "./relay-choice.ts";

const region = (regionId: number, regionCode: string, regionName: string, stunOnly = false) => ({
  regionId,
  regionCode,
  regionName,
  embeddedRelay: false,
  avoid: false,
  nodes: [relayNode({ name: `${regionId}a`, regionId, hostName: "relay.example", stunOnly })],
});
const map = derpMapOf([region(1, "fra", "Frankfurt"), region(2, "nyc", "New York"), region(900, "stun", "STUN", true)]);

it("adds the peer's leg where it is known", () => {
  const own = new Map([
    [1, 10],
    [2, 80],
  ]);
  const peer = new Map([
    ["1-v4", 0.09],
    ["2-v4", 0.03],
    ["2-v6", 0.005],
  ]);
  expect([...routeLatencies(own, peer)]).toEqual([
    [1, 100],
    [2, 85],
  ]);
});

it("uses our own leg when the peer published nothing about our regions", () => {
  const own = new Map([[1, 10]]);
  expect(routeLatencies(own, undefined)).toBe(own);
  expect(routeLatencies(own, new Map([["7-v4", 0.01]]))).toBe(own);
});

it("finds a region by id, code or name, relays only", () => {
  expect(["1", "FRA", "new york"].map((text) => findRegion(map, text)?.regionId)).toEqual([1, 1, 2]);
  expect(findRegion(map, "900")).toBeUndefined();
  expect(describeRegions(map)).toBe('1 fra "Frankfurt", 2 nyc "New York"');
});

it("finds the region of a workspace proxy by its name, after codes and names, and the deployment's own by primary", () => {
  const embedded = { ...region(999, "coder", "Coder Embedded Relay"), embeddedRelay: true };
  const proxies = [region(10_001, "coder_near", "Near you"), region(10_002, "coder_fra", "Main")];
  const all = derpMapOf([region(1, "fra", "Frankfurt"), embedded, ...proxies]);
  const found = ["near", "NEAR", "coder_near", "near you", "fra", "main", "primary", "auto"];
  expect(found.map((text) => findRegion(all, text)?.regionId)).toEqual([
    10_001,
    10_001,
    10_001,
    10_001,
    1,
    10_002,
    999,
    undefined,
  ]);
  expect([findProxyRegion(all, "fra")?.regionId, findProxyRegion(all, "main")]).toEqual([10_002, undefined]);
});
