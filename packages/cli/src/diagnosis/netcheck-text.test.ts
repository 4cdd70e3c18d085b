import type { NetworkProbe } from "coder-client/connection/network-probe";
import { expect, it } from "vitest";
import { parseAddrPort } from "wg-userspace/base/ip";
import { derpMapOf, relayNode } from "wg-userspace/derp/map";
import type { NetReport } from "wg-userspace/netcheck/report";
import { netcheckJson, netcheckLines } from "./netcheck-text.ts";

const region = (regionId: number, regionName: string, stunOnly = false) => ({
  regionId,
  regionCode: "x",
  regionName,
  embeddedRelay: false,
  avoid: false,
  nodes: [
    relayNode({ name: `${regionId}a`, regionId, hostName: "relay.example", stunOnly, stunPort: stunOnly ? 3478 : -1 }),
  ],
});
const embedded = {
  ...region(1, "Frankfurt"),
  embeddedRelay: true,
  nodes: [
    relayNode({ name: "1a", regionId: 1, hostName: "relay.example", stunPort: -1, derpPort: 8080, forceHttp: true }),
  ],
};
const REPORT = {
  udp: true,
  ipv4: true,
  ipv6: false,
  osHasIpv6: false,
  mappingVariesByDestIp: true,
  preferredDerp: 1,
  regionLatencyMs: new Map([[1, 20]]),
  regionV4LatencyMs: new Map(),
  regionV6LatencyMs: new Map(),
  globalV4: parseAddrPort("203.0.113.9:5"),
  observations: [
    {
      regionId: 3,
      node: "3a",
      server: parseAddrPort("192.0.2.1:3478")!,
      mapped: parseAddrPort("203.0.113.9:5")!,
      rttMs: 1,
    },
  ],
  unresolvedNames: [],
} as unknown as NetReport;
const PROBE: NetworkProbe = {
  map: derpMapOf([embedded, region(2, "New York"), region(3, "STUN", true)]),
  report: REPORT,
  relays: [
    { regionId: 2, error: "connection refused", usesWebSocket: false },
    { regionId: 1, roundTripMs: 25, usesWebSocket: true },
  ],
  directBlocked: undefined,
  proxies: [],
};
const INTERFACES = [{ name: "wg0", mtu: 1280, addresses: ["10.0.0.2/24"] }];

it("a report for people: the nearest relay first, NAT in words, what will work", () => {
  expect(netcheckLines(PROBE, INTERFACES)).toEqual([
    "Your network",
    "  UDP: works",
    "  Public IPv4 address: 203.0.113.9:5",
    "  IPv6: none",
    "  NAT: hard: another public port for every destination",
    "    3a (192.0.2.1:3478) sees 203.0.113.9:5",
    "",
    "Relays",
    "  Frankfurt  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇ 25ms good, by WebSocket, HTTP 20ms  (nearest)",
    "  New York   not reachable: connection refused",
    "",
    "Interfaces",
    "  wg0  MTU 1280 (below 1378: too small for direct connections)  10.0.0.2/24",
    "",
    "What this means",
    "  Relayed connections will work.",
    "  Direct connections: to workspaces whose side is open or filters by address alone; not where both NATs are hard.",
  ]);
});

it("the JSON that editors read: regions, nodes, codes", () => {
  const json = JSON.parse(JSON.stringify(netcheckJson(PROBE, INTERFACES)));
  expect(json.derp).toMatchObject({ healthy: false, severity: "error", netcheck: { UDP: true, PreferredDERP: 1 } });
  expect(json.derp.warnings.map(({ code }: { code: string }) => code)).toEqual(["EDERP01", "ESTUN02"]);
  expect(json.derp.regions["1"].node_reports[0]).toMatchObject({
    can_exchange_messages: true,
    round_trip_ping: "25ms",
    round_trip_ping_ms: 25,
    uses_websocket: true,
    stun: { Enabled: false, CanSTUN: false, Error: null },
  });
  expect(json.derp.regions["1"].region).toEqual({
    EmbeddedRelay: true,
    RegionID: 1,
    RegionCode: "x",
    RegionName: "Frankfurt",
    Nodes: [{ Name: "1a", RegionID: 1, HostName: "relay.example", STUNPort: -1, DERPPort: 8080, ForceHTTP: true }],
  });
  expect(json.derp.regions["1"].node_reports[0].node).toEqual(json.derp.regions["1"].region.Nodes[0]);
  expect(json.derp.regions["3"].node_reports[0].node).toMatchObject({ STUNPort: 3478, STUNOnly: true });
  expect(json.derp.regions["2"]).toMatchObject({ healthy: false, error: "connection refused" });
  expect(json.derp.regions["3"].node_reports[0]).toMatchObject({
    healthy: true,
    stun: { Enabled: true, CanSTUN: true },
  });
  expect(json.interfaces).toMatchObject({ severity: "warning", warnings: [{ code: "EIF01" }] });
});

it("lists the workspace proxies with status and latency, where there are any", () => {
  const near = { ...region(2, "New York"), regionCode: "coder_near" };
  const sydney = { ...region(10002, "Sydney"), regionCode: "coder_sydney" };
  const proxies = [
    { name: "near", displayName: "Near", healthy: true },
    { name: "sydney", displayName: "", healthy: true },
    { name: "gone", displayName: "", healthy: false },
  ];
  const probe: NetworkProbe = {
    ...PROBE,
    map: derpMapOf([embedded, near, sydney]),
    relays: [
      { regionId: 2, roundTripMs: 12.4, usesWebSocket: false },
      { regionId: 10002, error: "connection refused", usesWebSocket: false },
    ],
    proxies,
  };
  const lines = netcheckLines(probe, []);
  const start = lines.indexOf("Workspace proxies");
  expect(lines.slice(start, start + 5)).toEqual([
    "Workspace proxies",
    "  near    ok      12.4ms",
    "  sydney  ok      not reachable: connection refused",
    "  gone    not ok  no region in the relay map",
    "",
  ]);
  expect(netcheckJson(probe, [])["workspace_proxies"]).toEqual([
    { name: "near", display_name: "Near", healthy: true, region_id: 2, latency_ms: 12 },
    {
      name: "sydney",
      display_name: "",
      healthy: true,
      region_id: 10002,
      latency_ms: null,
      error: "connection refused",
    },
    { name: "gone", display_name: "", healthy: false, region_id: null, latency_ms: null },
  ]);
  expect(netcheckLines(PROBE, [])).not.toContain("Workspace proxies");
  expect(netcheckJson({ ...PROBE, proxies: undefined }, [])["workspace_proxies"]).toBeUndefined();
});

it("blames DNS and not UDP where no STUN server could be asked", () => {
  const report = {
    ...REPORT,
    udp: false,
    ipv4CanSend: false,
    ipv6CanSend: false,
    mappingVariesByDestIp: undefined,
    observations: [],
    unresolvedNames: ["stun.example.com"],
  } as NetReport;
  const lines = netcheckLines({ ...PROBE, report }, []);
  expect(lines).toContain("  UDP: not tried: no name of a STUN server was resolved, see DNS");
  expect(lines).toContain("  Names without an address: stun.example.com");
  expect(lines).toContain("  NAT: unknown: no STUN server could be asked");
  expect(lines.join("\n")).not.toContain("no answer");
  const { derp } = netcheckJson({ ...PROBE, report }, []) as { derp: { warnings: { message: string }[] } };
  expect(derp.warnings.map(({ message }) => message)).toContain(
    "Not tried: no name of a STUN server was resolved, see DNS",
  );
});

it("reports when nothing can work, and when direct connections are not allowed", () => {
  const broken = netcheckLines({ ...PROBE, relays: [], directBlocked: "deployment" }, []);
  expect(broken).toContain("  Relayed connections will NOT work: no relay answers.");
  expect(broken).toContain("  Direct connections: the administrator does not allow them.");
});
