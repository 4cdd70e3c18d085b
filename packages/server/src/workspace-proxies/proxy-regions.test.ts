import { describe, expect, test } from "vitest";
import {
  type DerpMap,
  defaultEmbeddedMap,
  derpMapOf,
  type Region,
  relayNode,
  validateDerpMap,
} from "wg-userspace/derp/map";
import { proxyRegionId, proxyRegionIdLimit, type RegionSource, withProxyRegions } from "./proxy-regions.ts";

function region(regionId: number, regionCode = `r${regionId}`, name = `${regionId}b`): Region {
  const nodes = [relayNode({ name, regionId, hostName: "relay.example.com" })];
  return { regionId, regionCode, regionName: regionCode, embeddedRelay: false, avoid: false, nodes };
}

const proxy = (fields: Partial<RegionSource> = {}): RegionSource => ({
  name: "near",
  display_name: "",
  region_number: 1,
  url: "https://near.example.com",
  stun_port: 0,
  ...fields,
});

const embedded = (stun: number): DerpMap =>
  defaultEmbeddedMap({
    accessUrl: "https://coder.example.com",
    stunAddresses: stun === 0 ? ["disable"] : Array.from({ length: stun }, (_, at) => `stun${at}.example.com:3478`),
  });

describe("ids", () => {
  test.each([
    ["the embedded relay alone", embedded(0), 10_001],
    ["five STUN regions", embedded(5), 10_001],
    ["no region at all", derpMapOf([]), 10_001],
    ["8000, the last id below the next step", derpMapOf([region(8_000)]), 10_001],
    ["8001", derpMapOf([region(8_001)]), 20_001],
    ["8500", derpMapOf([region(8_500)]), 20_001],
    ["18000", derpMapOf([region(18_000)]), 20_001],
    ["18001", derpMapOf([region(18_001)]), 30_001],
    ["58000", derpMapOf([region(58_000)]), 60_001],
  ])("%s", (_name, base, id) => {
    expect(proxyRegionId(base, 1)).toBe(id);
    expect([...withProxyRegions(base, [proxy()]).map.regions.keys()].at(-1)).toBe(id);
  });

  test("the largest is 65535", () => {
    const base = derpMapOf([region(58_000)]);
    expect(proxyRegionIdLimit(proxyRegionId(base, 5_535))).toBeUndefined();
    expect(proxyRegionIdLimit(proxyRegionId(base, 5_536))).toContain("65536");
    const { map, leftOut } = withProxyRegions(base, [proxy({ region_number: 5_536 }), proxy({ name: "b" })]);
    expect([...map.regions.keys()]).toEqual([58_000, 60_001]);
    expect(leftOut).toEqual([{ name: "near", why: expect.stringContaining("65536") }]);
  });
});

describe("the region of a proxy", () => {
  const only = (fields: Partial<RegionSource>): Region | undefined =>
    withProxyRegions(embedded(0), [proxy(fields)]).map.regions.get(10_001);

  test("has code, name and one node", () => {
    expect(only({})).toEqual({
      regionId: 10_001,
      regionCode: "coder_near",
      regionName: "near",
      embeddedRelay: false,
      avoid: false,
      nodes: [
        relayNode({ name: "10001a", regionId: 10_001, hostName: "near.example.com", derpPort: 443, stunPort: -1 }),
      ],
    });
  });

  test.each<[string, Partial<RegionSource>, Partial<ReturnType<typeof relayNode>>]>([
    ["http", { url: "http://near.example.com" }, { derpPort: 80, forceHttp: true }],
    ["a port", { url: "https://near.example.com:8443" }, { derpPort: 8443, forceHttp: false }],
    ["an IPv6 address", { url: "http://[2001:db8::7]:3000" }, { hostName: "2001:db8::7", derpPort: 3000 }],
    ["a STUN server", { stun_port: 3479 }, { stunPort: 3479 }],
  ])("%s", (_name, fields, node) => {
    expect(only(fields)?.nodes[0]).toMatchObject(node);
  });

  test("is called by its display name where it has one", () => {
    expect(only({ display_name: "Sydney" })?.regionName).toBe("Sydney");
  });
});

describe("left out", () => {
  test("a proxy whose code the map already has, and no other", () => {
    const base = derpMapOf([region(1, "coder_near")]);
    const { map, leftOut } = withProxyRegions(base, [proxy(), proxy({ name: "far", region_number: 2 })]);
    expect([...map.regions.keys()]).toEqual([1, 10_002]);
    expect(leftOut).toEqual([{ name: "near", why: expect.stringContaining('"coder_near"') }]);
  });

  test("a proxy whose relay's name the map has already", () => {
    const { map, leftOut } = withProxyRegions(derpMapOf([region(1, "one", "10001a")]), [proxy()]);
    expect(map.regions.size).toBe(1);
    expect(leftOut).toEqual([{ name: "near", why: expect.stringContaining('"10001a"') }]);
  });

  test("a proxy without a usable address", () => {
    expect(withProxyRegions(embedded(0), [proxy({ url: "" })]).leftOut).toHaveLength(1);
  });
});

test("without proxies the map is the same object; with many it stays valid", () => {
  const base = embedded(5);
  expect(withProxyRegions(base, []).map).toBe(base);
  const many = Array.from({ length: 256 }, (_, at) => proxy({ name: `p${at}`, region_number: at + 1 }));
  const { map, leftOut } = withProxyRegions(base, many);
  expect(leftOut).toEqual([]);
  expect(validateDerpMap(map)).toBeUndefined();
  expect(map.regions.size).toBe(6 + 256);
});
