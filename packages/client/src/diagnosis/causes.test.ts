import { expect, it } from "vitest";
import { parseAddrPort } from "wg-userspace/base/ip";
import type { NetReport } from "wg-userspace/netcheck/report";
import type { CandidateReport, PeerPathReport } from "../node/path-report.ts";
import { findCauses } from "./causes.ts";
import type { Cause, Facts } from "./facts.ts";

const NET: NetReport = {
  udp: true,
  ipv4: true,
  ipv6: false,
  ipv4CanSend: true,
  ipv6CanSend: false,
  osHasIpv6: false,
  icmpv4: false,
  mappingVariesByDestIp: false,
  hairPinning: undefined,
  upnp: undefined,
  pmp: undefined,
  pcp: undefined,
  captivePortal: undefined,
  preferredDerp: 1,
  regionLatencyMs: new Map(),
  regionV4LatencyMs: new Map(),
  regionV6LatencyMs: new Map(),
  globalV4: undefined,
  globalV6: undefined,
  observations: [],
  unresolvedNames: [],
};
const REPORT: PeerPathReport = {
  peerId: "a",
  path: { kind: "relayed", region: { id: 1, name: "R" } },
  candidates: [],
  peerRegion: { id: 1, name: "R" },
  peerEndpoints: ["10.0.0.1:1"],
  ownRegion: { id: 1, name: "R" },
  ownEndpoints: [],
  sentNode: true,
  receivedNode: true,
  directBlocked: undefined,
  mtu: 1280,
  rxBytes: 0,
  txBytes: 0,
};
const candidate = (overrides: Partial<CandidateReport>): CandidateReport => ({
  endpoint: "10.0.0.1:1",
  sources: ["coordinator"],
  state: "no-answer",
  pingsSent: 4,
  pongsReceived: 0,
  reason: "",
  ...overrides,
});
const seen = (server: string, mapped: string) => ({
  regionId: 1,
  node: "1a",
  server: parseAddrPort(server)!,
  mapped: parseAddrPort(mapped)!,
  rttMs: 1,
});
const HARD: NetReport = {
  ...NET,
  mappingVariesByDestIp: true,
  observations: [seen("192.0.2.1:3478", "203.0.113.9:5"), seen("192.0.2.2:3478", "203.0.113.9:6")],
};

function causes(overrides: Partial<Facts> = {}, report: Partial<PeerPathReport> = {}): Cause[] {
  return findCauses({
    report: { ...REPORT, ...report },
    own: NET,
    agent: NET,
    ownInterfaces: [{ name: "eth0", mtu: 1500, addresses: [] }],
    agentInterfaces: [{ name: "eth0", mtu: 1500, addresses: [] }],
    mapHasStun: true,
    ...overrides,
  });
}
const codes = (found: readonly Cause[]): string[] => found.map(({ code, side }) => `${code}: ${side}`);

it("reports nothing on a healthy network", () => {
  expect(causes({}, { path: { kind: "direct", endpoint: "10.0.0.1:1" } })).toEqual([]);
});

it.each<[string, Partial<Facts>, Partial<PeerPathReport>, string[]]>([
  ["disabled here", {}, { directBlocked: "this-client" }, ["direct-disabled: this machine"]],
  ["forbidden by the deployment", {}, { directBlocked: "deployment" }, ["direct-blocked: administrator"]],
  ["no STUN in the map", { mapHasStun: false }, {}, ["no-stun: administrator"]],
  ["UDP blocked here", { own: { ...NET, udp: false } }, {}, ["udp-blocked: this machine"]],
  [
    "names of STUN servers not resolved",
    { own: { ...NET, udp: false, ipv4CanSend: false, unresolvedNames: ["stun.example.com"] } },
    {},
    ["names-not-resolved: this machine"],
  ],
  ["UDP blocked there", { agent: { ...NET, udp: false } }, {}, ["udp-blocked: workspace"]],
  ["a hard NAT here", { own: HARD }, {}, ["hard-nat: this machine"]],
  ["a hard NAT on both sides", { own: HARD, agent: HARD }, {}, ["hard-nat: this machine", "hard-nat: workspace"]],
  ["a workspace without addresses", {}, { peerEndpoints: [] }, ["peer-without-endpoints: workspace"]],
  ["no probe answered", {}, { candidates: [candidate({})] }, ["no-answer: network between"]],
  ["an old agent", { agent: undefined, agentMissing: "HTTP 404" }, {}, ["agent-report-missing: workspace"]],
  ["a slow relay", {}, { relayRttMs: 400 }, ["slow-relay: administrator"]],
])("%s", (_name, facts, report, expected) => {
  expect(codes(causes(facts, report))).toEqual(expected);
});

it("low MTU and loss are reported even when the path is direct; blocking causes come first", () => {
  const low = [{ name: "wg0", mtu: 1280, addresses: [] }];
  const lossy = candidate({ state: "in-use", pingsSent: 10, pongsReceived: 8, loss: 0.2 });
  const direct = { path: { kind: "direct", endpoint: "10.0.0.1:1" } as const, candidates: [lossy] };
  expect(codes(causes({ ownInterfaces: low, own: HARD }, direct))).toEqual([
    "low-mtu: this machine",
    "loss: network between",
  ]);
  expect(codes(causes({ agentInterfaces: low, own: HARD }))).toEqual(["hard-nat: this machine", "low-mtu: workspace"]);
});

it("a path that dies on other connections of this network is known from the workspace", () => {
  const direct = {
    path: { kind: "direct", endpoint: "10.0.0.1:1" },
    candidates: [candidate({ state: "in-use" })],
  } as const;
  const failures = { count: 3, lifeMs: 8_200, heldForMs: 40_000, loss: 0.02 };
  const [cause] = causes({ agentView: { candidates: [], failures } }, direct);
  expect(cause).toMatchObject({
    code: "path-keeps-dying",
    what: "The direct path keeps dying after about 8 s: a firewall ends the flow.",
  });
  expect(cause!.evidence[0]).toContain("3 times in a row");
  expect(causes({ agentView: { candidates: [], failures: { ...failures, count: 1 } } }, direct)).toEqual([]);
  const lossy = { ...failures, loss: 0.4 };
  expect(codes(causes({ agentView: { candidates: [], failures: lossy } }, direct))).toEqual(["loss: network between"]);
});

it.each([
  ["all lost at the end, none before", { sent: 40, answered: 28, silentAtEnd: 12 }, ["path-died"]],
  ["lost all over", { sent: 40, answered: 20, silentAtEnd: 3 }, ["loss"]],
  ["lost all over, with bad luck at the end", { sent: 40, answered: 15, silentAtEnd: 10 }, ["loss"]],
  ["no answer at all: silence, whose cause is another", { sent: 40, answered: 0, silentAtEnd: 40 }, []],
  ["one lost, the last", { sent: 40, answered: 39, silentAtEnd: 1 }, []],
])("a sample of the direct path: %s", (_name, sample, expected) => {
  const direct = {
    path: { kind: "direct", endpoint: "10.0.0.1:1" },
    candidates: [candidate({ state: "in-use" })],
  } as const;
  expect(causes({ sample }, direct).map(({ code }) => code)).toEqual(expected);
});

it("both ends receive and neither is answered: that is not a one-way path", () => {
  const heard = candidate({ heard: true, pingsSent: 12 });
  expect(codes(causes({}, { candidates: [heard] }))).toEqual(["one-way: network between"]);
  const agentView = { candidates: [{ endpoint: "10.0.0.2:1", pingsSent: 12, pongsReceived: 0, heard: true }] };
  expect(codes(causes({ agentView }, { candidates: [heard] }))).toEqual(["no-answer: network between"]);
});

it("a hard NAT is shown by each server's view", () => {
  expect(causes({ own: HARD })[0]!.evidence).toEqual([
    "STUN server 1a (192.0.2.1:3478) saw 203.0.113.9:5",
    "STUN server 1a (192.0.2.2:3478) saw 203.0.113.9:6",
  ]);
});

it("every cause names who must change what, and where it is explained", () => {
  const all = [
    ...causes({ own: { ...HARD, udp: false }, agent: HARD, mapHasStun: true }, { candidates: [candidate({})] }),
    ...causes({ mapHasStun: false }, { peerEndpoints: [] }),
    ...causes({}, { directBlocked: "deployment" }),
  ];
  for (const cause of all) {
    expect(cause.fix.length).toBeGreaterThan(10);
    expect(cause.what).toMatch(/\.$/);
    expect(cause.link).toBe(`coder help ${cause.code}`);
    expect(cause.evidence.length).toBeGreaterThan(0);
  }
});
