import type { Cause } from "coder-client/diagnosis/facts";
import type { PeerPathReport } from "coder-client/node/path-report";
import { expect, it } from "vitest";
import { doctorLines, isHealthy } from "./doctor-text.ts";

const DIRECT = {
  path: { kind: "direct", endpoint: "10.0.0.1:1" },
  candidates: [{ endpoint: "10.0.0.1:1", rttMs: 2 }],
} as unknown as PeerPathReport;
const RELAYED = {
  path: { kind: "relayed", region: { id: 1, name: "R" } },
  candidates: [],
  relayRttMs: 40,
} as unknown as PeerPathReport;
const CAUSE: Cause = {
  code: "hard-nat",
  side: "workspace",
  scope: "agent",
  severity: "blocks-direct",
  what: "The NAT is hard.",
  evidence: ["a saw 1", "b saw 2"],
  fix: "map a port",
  link: "coder help hard-nat",
};

it("a healthy connection is reported as such", () => {
  expect(doctorLines(DIRECT, [])).toEqual([
    "The connection is direct, to 10.0.0.1:1, 2ms there and back.",
    "No problem can be seen from here.",
  ]);
  expect(isHealthy(DIRECT, [{ ...CAUSE, severity: "note" }])).toBe(true);
  expect(isHealthy(DIRECT, [{ ...CAUSE, severity: "slows" }])).toBe(false);
});

it("causes are numbered, with evidence, who, and fix", () => {
  expect(doctorLines(RELAYED, [CAUSE])).toEqual([
    'The connection is relayed through "R", 40ms there and back.',
    "",
    "1. The NAT is hard.",
    "   Seen: a saw 1",
    "   Seen: b saw 2",
    "   Who: workspace",
    "   Fix: map a port",
    "   More: coder help hard-nat",
  ]);
  expect(isHealthy(RELAYED, [])).toBe(false);
});
