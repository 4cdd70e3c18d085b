import fc from "fast-check";
import { expect, it } from "vitest";
import { parseAddrPort } from "../base/ip.ts";
import type { NetReport } from "./report.ts";
import { netReportFromJson, netReportToJson } from "./report-json.ts";

const REPORT: NetReport = {
  udp: true,
  ipv4: true,
  ipv6: false,
  ipv4CanSend: true,
  ipv6CanSend: false,
  osHasIpv6: true,
  icmpv4: false,
  mappingVariesByDestIp: true,
  hairPinning: false,
  upnp: undefined,
  pmp: undefined,
  pcp: true,
  captivePortal: undefined,
  preferredDerp: 999,
  regionLatencyMs: new Map([[999, 1.5]]),
  regionV4LatencyMs: new Map([[999, 1.5]]),
  regionV6LatencyMs: new Map(),
  globalV4: parseAddrPort("203.0.113.9:41641"),
  globalV6: undefined,
  observations: [],
  unresolvedNames: ["stun.example.com"],
};

it("has the names and forms of Go's report", () => {
  expect(netReportToJson({ ...REPORT, unresolvedNames: [] })).toEqual({
    UDP: true,
    IPv6: false,
    IPv4: true,
    IPv6CanSend: false,
    IPv4CanSend: true,
    OSHasIPv6: true,
    ICMPv4: false,
    MappingVariesByDestIP: true,
    HairPinning: false,
    UPnP: null,
    PMP: null,
    PCP: true,
    PreferredDERP: 999,
    RegionLatency: { "999": 1_500_000 },
    RegionV4Latency: { "999": 1_500_000 },
    RegionV6Latency: {},
    GlobalV4: "203.0.113.9:41641",
    GlobalV6: "",
    CaptivePortal: null,
  });
});

it("reads back what it wrote", () => {
  expect(netReportFromJson(JSON.parse(JSON.stringify(netReportToJson(REPORT))))).toEqual(REPORT);
});

it("reads anything without throwing; what is missing is unknown", () => {
  expect(netReportFromJson({})).toMatchObject({ udp: false, mappingVariesByDestIp: undefined, preferredDerp: 0 });
  expect(netReportFromJson("no")).toBeUndefined();
  fc.assert(fc.property(fc.jsonValue(), (json) => void netReportFromJson(json)));
});
