import { expect, test } from "vitest";
import { parseDerpMap } from "wg-userspace/derp/map";
import { agentCauses } from "./agent-causes.ts";

const parsed = parseDerpMap({
  Regions: {
    "1": {
      RegionID: 1,
      RegionCode: "one",
      RegionName: "One",
      Nodes: [{ Name: "1a", RegionID: 1, HostName: "relay.example.com", STUNPort: 3478 }],
    },
  },
});
if ("error" in parsed) throw new Error(parsed.error);
const { map } = parsed;
const codes = (netcheck: unknown, blockDirect = false) =>
  agentCauses(netcheck, { map, blockDirect }).map(({ code, side }) => [code, side]);
const report = { UDP: true, IPv4: true, IPv4CanSend: true };

test("an obstacle is named together with the side that can remove it", () => {
  expect(codes({ report })).toEqual([]);
  expect(codes({ report: { ...report, MappingVariesByDestIP: true } })).toEqual([["hard-nat", "workspace"]]);
  expect(codes({ report: { ...report, UDP: false } })).toEqual([["udp-blocked", "workspace"]]);
  expect(codes({ report }, true)).toEqual([["direct-blocked", "administrator"]]);
  expect(codes({ report, interfaces: { interfaces: [{ name: "tun0", mtu: 1200, addresses: [] }] } })).toEqual([
    ["low-mtu", "workspace"],
  ]);
});

test("an answer of any form is understood as one without a report", () => {
  for (const answer of [undefined, null, 1, "x", [], {}, { report: [] }, { net_info: null, error: "no" }])
    expect(codes(answer)).toEqual([["agent-report-missing", "workspace"]]);
});
