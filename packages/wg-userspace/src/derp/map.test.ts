import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type DerpMap,
  defaultEmbeddedMap,
  derpMapEqual,
  derpMapOf,
  derpMapToJson,
  hasRelay,
  mergeDerpMaps,
  type Node,
  parseAccessUrl,
  parseDerpMap,
  type Region,
  relayNode,
  rewriteEmbedded,
  withoutStun,
} from "./map.ts";

const tailscaleJson = {
  Regions: {
    "1": {
      RegionID: 1,
      RegionCode: "nyc",
      RegionName: "New York City",
      Nodes: [
        {
          Name: "1a",
          RegionID: 1,
          HostName: "derp1a.example.com",
          IPv4: "192.0.2.1",
          IPv6: "2001:db8::1",
          CanPort80: true,
        },
        { Name: "1s", RegionID: 1, HostName: "stun.example.com", STUNPort: 19302, STUNOnly: true },
      ],
    },
    "10": {
      RegionID: 10,
      RegionCode: "sea",
      RegionName: "Seattle",
      Avoid: true,
      Nodes: [
        { Name: "10a", RegionID: 10, HostName: "derp10a.example.com", IPv6: "none", DERPPort: 8443, CertName: "x" },
      ],
    },
  },
  HomeParams: { RegionScore: { "10": 0.5 } },
  omitDefaultRegions: true,
};

function parsed(json: unknown): DerpMap {
  const result = parseDerpMap(json);
  if ("error" in result) throw new Error(result.error);
  return result.map;
}

function region(regionId: number, nodes: readonly Node[], fields: Partial<Region> = {}): Region {
  return { regionId, regionCode: "", regionName: "", embeddedRelay: false, avoid: false, nodes, ...fields };
}

/** The JSON above with one value replaced; the path is dotted. */
function changed(path: string, value: unknown): unknown {
  const copy = structuredClone(tailscaleJson) as Record<string, unknown>;
  const steps = path.split(".");
  let at = copy;
  for (const step of steps.slice(0, -1)) at = at[step] as Record<string, unknown>;
  at[steps.at(-1)!] = value;
  return copy;
}

describe("parseDerpMap", () => {
  it("reads the Tailscale form as it is and writes it back with nothing lost", () => {
    const map = parsed(tailscaleJson);
    expect([...map.regions.keys()]).toEqual([1, 10]);
    expect(map.regions.get(1)?.nodes[0]).toEqual(
      relayNode({
        name: "1a",
        regionId: 1,
        hostName: "derp1a.example.com",
        ipv4: "192.0.2.1",
        ipv6: "2001:db8::1",
        canPort80: true,
      }),
    );
    expect(map.regionScore.get(10)).toBe(0.5);
    expect(map.omitDefaultRegions).toBe(true);
    const json = derpMapToJson(map);
    expect(parsed(JSON.parse(JSON.stringify(json)))).toEqual(map);
    expect(json["Regions"]).toMatchObject({ "1": { EmbeddedRelay: false, RegionID: 1 } });
    expect(JSON.stringify(json)).not.toContain("STUNTestIP");
  });

  it("matches field names without regard to case", () => {
    const map = parsed({
      regions: { "1": { regionid: 1, nodes: [{ name: "a", regionId: 1, hostname: "a.b", derpport: 80 }] } },
    });
    expect(map.regions.get(1)?.nodes[0]?.derpPort).toBe(80);
  });

  it.each([
    ["Regions", 7, "Regions is 7, want an object"],
    ["Regions", [], "Regions is an array, want an object"],
    ["Regions.1", null, 'Regions["1"] is null, want an object'],
    ["Regions.0", {}, 'Regions["0"]: the key is not a region id'],
    ["Regions.70000", { RegionID: 70000 }, "Regions[70000]: a region id is 1 to 65535"],
    ["Regions.1.RegionID", 2, 'Regions["1"].RegionID is 2, want 1 like its key'],
    ["Regions.1.RegionID", "1", 'Regions["1"].RegionID is "1", want an integer'],
    ["Regions.1.RegionName", 5, 'Regions["1"].RegionName is 5, want a string'],
    ["Regions.1.Avoid", "yes", 'Regions["1"].Avoid is "yes", want true or false'],
    ["Regions.1.Nodes", {}, 'Regions["1"].Nodes is an object, want an array'],
    ["Regions.1.Nodes.0", "x", 'Regions["1"].Nodes[0] is "x", want an object'],
    ["Regions.1.Nodes.0.RegionID", 3, "Regions[1].Nodes[0].RegionID is 3, want 1 like its region"],
    ["Regions.1.Nodes.0.Name", "", "Regions[1].Nodes[0].Name is empty"],
    ["Regions.1.Nodes.0.Name", "10a", 'Regions[10].Nodes[0].Name "10a" is used twice'],
    ["Regions.10.Nodes.0.HostName", "a b", 'Regions[10].Nodes[0].HostName "a b" is not a host name'],
    ["Regions.10.Nodes.0.HostName", "a\r\nX: y", 'Regions[10].Nodes[0].HostName "a\r\nX: y" is not a host name'],
    [
      "Regions.1.Nodes.0.HostName",
      "x".repeat(256),
      'Regions["1"].Nodes[0].HostName has 256 characters, at most 255 are allowed',
    ],
    ["Regions.1.Nodes.0.DERPPort", 65536, "Regions[1].Nodes[0].DERPPort is 65536, want 0 to 65535"],
    ["Regions.1.Nodes.0.DERPPort", -1, "Regions[1].Nodes[0].DERPPort is -1, want 0 to 65535"],
    ["Regions.1.Nodes.0.STUNPort", 1.5, 'Regions["1"].Nodes[0].STUNPort is 1.5, want an integer'],
    ["HomeParams.RegionScore", { x: 1 }, 'HomeParams.RegionScore["x"]: the key is not a region id'],
    ["HomeParams.RegionScore", { "1": "a" }, 'HomeParams.RegionScore["1"] is "a", want a number'],
    ["omitDefaultRegions", 1, "omitDefaultRegions is 1, want true or false"],
  ])("names the path when %s is %j", (path, value, error) => {
    expect(parseDerpMap(changed(path, value))).toEqual({ error });
  });

  it("refuses a map without any relay node, unless that is allowed", () => {
    const json = {
      Regions: { "1": { RegionID: 1, Nodes: [{ Name: "s", RegionID: 1, HostName: "s.example.com", STUNOnly: true }] } },
    };
    expect(parseDerpMap(json)).toEqual({
      error: "Regions contains no relay node: every node is STUNOnly or there is none",
    });
    expect(parseDerpMap({ Regions: {} })).toHaveProperty("error");
    expect(parseDerpMap(json, { allowNoRelay: true })).toHaveProperty("map");
  });

  it("bounds the scores of regions", () => {
    const scores = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [i + 1, 1]));
    expect(parseDerpMap(changed("HomeParams.RegionScore", scores(1024)))).toHaveProperty("map");
    expect(parseDerpMap(changed("HomeParams.RegionScore", scores(1025)))).toEqual({
      error: "HomeParams.RegionScore has too many entries",
    });
    expect(parseDerpMap(changed("HomeParams", null))).toHaveProperty("map");
  });

  it("bounds regions and nodes", () => {
    const node = (name: string, RegionID: number) => ({ Name: name, RegionID, HostName: "a.example.com" });
    const regions = Object.fromEntries(
      Array.from({ length: 1025 }, (_, i) => [String(i + 1), { RegionID: i + 1, Nodes: [node(`n${i}`, i + 1)] }]),
    );
    expect(parseDerpMap({ Regions: regions })).toHaveProperty(
      "error",
      "Regions has 1025 entries, at most 1024 are allowed",
    );
    const nodes = Array.from({ length: 65 }, (_, i) => node(`n${i}`, 1));
    expect(parseDerpMap({ Regions: { "1": { RegionID: 1, Nodes: nodes } } })).toHaveProperty(
      "error",
      'Regions["1"].Nodes has 65 entries, at most 64 are allowed',
    );
  });

  it("accepts a node that has an address instead of a name", () => {
    const json = (fields: object) => ({
      Regions: { "1": { RegionID: 1, Nodes: [{ Name: "a", RegionID: 1, ...fields }] } },
    });
    expect(parseDerpMap(json({ IPv4: "192.0.2.1" }))).toHaveProperty("map");
    expect(parseDerpMap(json({ IPv4: "none" }))).toHaveProperty("error");
  });

  it("never throws on any JSON", () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom("", "Regions", "Regions.1", "Regions.1.Nodes.0", "HomeParams"),
        (value, path) => {
          const result = parseDerpMap(path === "" ? value : changed(path, value));
          expect("error" in result || result.map.regions.size > 0).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("parseAccessUrl", () => {
  it.each([
    ["https://coder.example.com", "coder.example.com", 443, false],
    ["http://coder.example.com/base?x#y", "coder.example.com", 80, true],
    ["HTTPS://user:pass@h:8443/", "h", 8443, false],
    ["http://[2001:db8::1]:3000", "2001:db8::1", 3000, true],
    ["http://127.0.0.1:3000", "127.0.0.1", 3000, true],
  ])("reads %s", (url, hostName, port, forceHttp) => {
    expect(parseAccessUrl(url)).toEqual({ hostName, port, forceHttp });
  });

  it.each([
    "",
    "coder.example.com",
    "ftp://x",
    "https://",
    "https://a b",
    "https://x:0",
    "https://x:65536",
    "https://x:1x",
  ])("refuses %j", (url) => {
    expect(() => parseAccessUrl(url)).toThrow(TypeError);
  });
});

describe("rewriteEmbedded", () => {
  it("points relay nodes of embedded regions at the access URL, and nothing else", () => {
    const embedded = region(
      999,
      [
        relayNode({ name: "999b", regionId: 999, hostName: "internal", derpPort: 1, stunPort: -1 }),
        relayNode({ name: "999s", regionId: 999, hostName: "stun", stunOnly: true }),
      ],
      { embeddedRelay: true },
    );
    const other = region(1, [relayNode({ name: "1a", regionId: 1, hostName: "other" })]);
    const rewritten = rewriteEmbedded(derpMapOf([embedded, other]), "http://me.example.com:3000/x");
    expect(rewritten.regions.get(999)?.nodes).toEqual([
      { ...embedded.nodes[0], hostName: "me.example.com", derpPort: 3000, forceHttp: true },
      embedded.nodes[1],
    ]);
    expect(rewritten.regions.get(1)).toEqual(other);
    expect(embedded.nodes[0]?.hostName).toBe("internal");
    expect(rewriteEmbedded(derpMapOf([embedded]), "https://me").regions.get(999)?.nodes[0]).toMatchObject({
      derpPort: 443,
      forceHttp: false,
    });
  });
});

describe("derpMapEqual", () => {
  const base = parsed(tailscaleJson);
  it("ignores the order of nodes and the scores", () => {
    const first = base.regions.get(1)!;
    const reordered = new Map(base.regions).set(1, { ...first, nodes: [...first.nodes].reverse() });
    expect(derpMapEqual(base, { ...base, regions: reordered, regionScore: new Map() })).toBe(true);
  });

  it("detects every other difference", () => {
    const first = base.regions.get(1)!;
    const node = first.nodes[0]!;
    const replace = (changedRegion: Region): DerpMap => ({
      ...base,
      regions: new Map(base.regions).set(1, changedRegion),
    });
    const differences: DerpMap[] = [
      { ...base, omitDefaultRegions: false },
      { ...base, regions: new Map([...base.regions].slice(1)) },
      replace({ ...first, regionName: "x" }),
      replace({ ...first, avoid: true }),
      replace({ ...first, embeddedRelay: true }),
      replace({ ...first, nodes: first.nodes.slice(1) }),
      ...([{ hostName: "x" }, { derpPort: 1 }, { stunPort: -1 }, { ipv4: "" }, { forceHttp: true }] as const).map(
        (fields) => replace({ ...first, nodes: [{ ...node, ...fields }, ...first.nodes.slice(1)] }),
      ),
    ];
    for (const other of differences) {
      expect(derpMapEqual(base, other)).toBe(false);
      expect(derpMapEqual(other, base)).toBe(false);
    }
  });
});

describe("maps of a control plane", () => {
  it("has one embedded region and one region per STUN server", () => {
    const map = defaultEmbeddedMap({
      accessUrl: "https://coder.example.com",
      stunAddresses: ["stun.l.google.com:19302", "192.0.2.9", "[2001:db8::9]:3479"],
    });
    expect(JSON.parse(JSON.stringify(derpMapToJson(map)))).toEqual({
      Regions: {
        "999": {
          EmbeddedRelay: true,
          RegionID: 999,
          RegionCode: "coder",
          RegionName: "Coder Embedded Relay",
          Nodes: [{ Name: "999b", RegionID: 999, HostName: "coder.example.com", DERPPort: 443, STUNPort: -1 }],
        },
        ...Object.fromEntries(
          (
            [
              [1000, "stun.l.google.com", 19302],
              [1001, "192.0.2.9", 3478],
              [1002, "2001:db8::9", 3479],
            ] as const
          ).map(([id, HostName, STUNPort]) => [
            String(id),
            {
              EmbeddedRelay: false,
              RegionID: id,
              RegionCode: `coder_stun_${id}`,
              RegionName: `Coder STUN ${id}`,
              Nodes: [{ Name: `${id}stun0`, RegionID: id, HostName, STUNPort, STUNOnly: true }],
            },
          ]),
        ),
      },
    });
    expect(parseDerpMap(derpMapToJson(map))).toEqual({ map });
  });

  it('has no STUN regions with "disable", and none are left without direct paths', () => {
    const options = { accessUrl: "http://h:1", regionId: 7, code: "c", name: "n" };
    expect([...defaultEmbeddedMap({ ...options, stunAddresses: ["disable"] }).regions.keys()]).toEqual([7]);
    const blocked = withoutStun(defaultEmbeddedMap({ ...options, stunAddresses: ["s:1"] }));
    expect([...blocked.regions.values()].every(hasRelay)).toBe(true);
    const mixed = withoutStun(parsed(tailscaleJson));
    expect(mixed.regions.get(1)?.nodes.map(({ name, stunPort }) => [name, stunPort])).toEqual([["1a", -1]]);
    for (const address of ["a:b:c", "", ":3478", "a:", "a:0", "a:65536", "a b:1", "[::1", "a:1x", "[fe80::zz]:1"])
      expect(() => defaultEmbeddedMap({ ...options, stunAddresses: [address] }), address).toThrow(
        `STUN address "${address}" is not of the form host:port`,
      );
    const ports = ["a:1", "a:65535", "a"].map(
      (address) => defaultEmbeddedMap({ ...options, stunAddresses: [address] }).regions.get(8)!.nodes[0]!.stunPort,
    );
    expect(ports).toEqual([1, 65535, 3478]);
  });

  it("merges maps and refuses a clash of region ids", () => {
    const embedded = defaultEmbeddedMap({ accessUrl: "https://h" });
    const merged = mergeDerpMaps(embedded, parsed(tailscaleJson));
    expect("map" in merged && [...merged.map.regions.keys()]).toEqual([1, 10, 999]);
    expect(mergeDerpMaps(embedded, embedded)).toEqual({
      error: "Regions[999] exists in both relay maps, want different region ids",
    });
  });
});
