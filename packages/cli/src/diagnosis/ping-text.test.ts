import { formatDuration } from "coder-client/diagnosis/durations";
import type { PeerPathReport } from "coder-client/node/path-report";
import { describe, expect, it } from "vitest";
import {
  type PingOutcome,
  peerBlock,
  pingLine,
  summarize,
  summaryTable,
  timestamp,
  verdictLine,
  verdictOf,
} from "./ping-text.ts";

const AT = Date.UTC(2026, 10, 23, 20, 5, 9, 250);
const direct = (rttMs: number, endpoint = "203.0.113.9:41641"): PingOutcome => ({
  ok: true,
  atUnixMs: AT,
  pong: { rttMs, path: { kind: "direct", endpoint } },
});
const relayed = (rttMs: number): PingOutcome => ({
  ok: true,
  atUnixMs: AT,
  pong: { rttMs, path: { kind: "relayed", region: { id: 999, name: "Coder Embedded Relay" } } },
});
const lost: PingOutcome = { ok: false, atUnixMs: AT, timedOut: true, error: "" };

it("durations look like Go's", () => {
  expect([0, 0.0005, 0.25, 1.23456, 999.9, 1_500, 63_250, 3_723_000].map(formatDuration)).toEqual([
    "0s",
    "500ns",
    "250µs",
    "1.23ms",
    "1s",
    "1.5s",
    "1m3s",
    "1h2m3s",
  ]);
});

describe("a line per ping", () => {
  it.each([
    [direct(1.4), "pong from demo p2p via 203.0.113.9:41641 in 1ms"],
    [relayed(87.6), "pong from demo proxied via DERP(Coder Embedded Relay) in 88ms"],
    [lost, 'ping to "demo" timed out'],
    [{ ok: false, atUnixMs: AT, timedOut: false, error: "no way" } as const, 'ping to "demo" failed: no way'],
  ])("%#", (outcome, line) => {
    expect(pingLine("demo", outcome)).toBe(line);
  });

  it("with the time in front on request", () => {
    expect(timestamp(AT, true)).toBe("[2026-11-23T20:05:09Z] ");
    expect(timestamp(AT, false)).toMatch(/^\[2026-11-2[34]T\d\d:\d\d:09(Z|[+-]\d\d:\d\d)\] $/);
  });
});

describe("the summary", () => {
  it("counts all, and measures the answered", () => {
    expect(summarize([direct(1), lost, direct(3)])).toEqual({
      total: 3,
      successful: 2,
      minMs: 1,
      avgMs: 2,
      maxMs: 3,
      varianceMs2: 2,
    });
    expect(summarize([lost])).toEqual({ total: 1, successful: 0 });
    expect(summarize([direct(4)]).varianceMs2).toBeUndefined();
  });

  it("is a table under a row of dashes, empty where nothing was measured", () => {
    const [dashes, head, row] = summaryTable("demo", summarize([direct(1), direct(3)])).split("\n");
    expect(dashes).toMatch(/^-+$/);
    expect(head).toBe("WORKSPACE  TOTAL  SUCCESSFUL  MIN  AVG  MAX  VARIANCE");
    expect(row).toBe("demo       2      2           1ms  2ms  3ms  2ms²");
    expect(summaryTable("demo", summarize([lost])).split("\n")[2]).toBe("demo       1      0");
  });
});

describe("the verdict", () => {
  it("uses the last answer", () => {
    expect(verdictOf([relayed(1), direct(1), lost])).toBe("direct");
    expect(verdictOf([direct(1), relayed(1)])).toBe("relayed");
    expect(verdictOf([lost, lost])).toBe("unreachable");
  });
  it("reports when both ends are on one network", () => {
    expect(verdictLine([direct(1, "192.168.1.4:5")], "")).toContain("private");
    expect(verdictLine([direct(1)], "")).toBe("✔ You are connected directly (p2p).");
    expect(verdictLine([relayed(1)], "see there")).toContain("see there");
  });
});

describe("the peer block", () => {
  const report: PeerPathReport = {
    peerId: "a",
    path: undefined,
    candidates: [],
    peerRegion: { id: 999, name: "Home" },
    peerEndpoints: ["10.0.0.1:1", "203.0.113.1:2"],
    ownRegion: { id: 999, name: "Home" },
    ownEndpoints: [],
    sentNode: true,
    receivedNode: true,
    lastHandshakeAgeMs: 11_400,
    directBlocked: undefined,
    mtu: 1280,
    rxBytes: 0,
    txBytes: 0,
  };

  it("has five facts in their good form", () => {
    expect(peerBlock(report)).toEqual([
      "✔ preferred DERP region: 999 (Home)",
      "✔ sent local data to the coordinator",
      "✔ received the agent's data from the coordinator",
      "    preferred DERP region: 999 (Home)",
      "    endpoints: 10.0.0.1:1, 203.0.113.1:2",
      "✔ WireGuard handshake 11s ago",
    ]);
  });

  it("and in their bad form", () => {
    const { lastHandshakeAgeMs: _, ...rest } = report;
    expect(peerBlock({ ...rest, ownRegion: undefined, sentNode: false, receivedNode: false })).toEqual([
      "✘ not connected to a relay (DERP)",
      "✘ have not sent local data to the coordinator",
      "✘ have not received the agent's data from the coordinator",
      "✘ no WireGuard handshake yet",
    ]);
    expect(peerBlock({ ...report, lastHandshakeAgeMs: 400_000 }).at(-1)).toBe("⚠ WireGuard handshake 400s ago");
  });
});
