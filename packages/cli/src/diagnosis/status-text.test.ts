import type { PeerPathReport } from "coder-client/path-report";
import { expect, it } from "vitest";
import { connectionsTable, workspaceStatus } from "./status-text.ts";

it("lists the connections of this machine", () => {
  const one = {
    pid: 42,
    workspace: "demo",
    command: "ssh",
    startedAt: "2026-11-23T20:00:00.000Z",
    path: { kind: "direct", endpoint: "10.0.0.1:1" } as const,
    rttMs: 2.5,
    mtu: 1420,
    rxBytes: 500,
    txBytes: 3 * 1024 * 1024,
  };
  const relayed = { ...one, path: { kind: "relayed", region: { id: 1, name: "R" } } as const, rttMs: null };
  expect(connectionsTable([one, relayed], Date.parse("2026-11-23T20:01:05Z"))).toBe(
    `${[
      "WORKSPACE  PATH               ROUND TRIP  PACKETS  RECEIVED  SENT     SINCE  COMMAND  PID",
      "demo       direct 10.0.0.1:1  2.5ms       1420     500 B     3.0 MiB  1m5s   ssh      42",
      "demo       relayed R                      1420     500 B     3.0 MiB  1m5s   ssh      42",
    ].join("\n")}\n`,
  );
  expect(connectionsTable([], 0)).toBe("No connection is open on this machine.\n");
});

it("shows every address of one workspace, the one in use first", () => {
  const report = {
    peerId: "a",
    path: { kind: "direct", endpoint: "10.0.0.1:1" },
    candidates: [
      {
        endpoint: "203.0.113.9:2",
        sources: ["coordinator"],
        state: "no-answer",
        pingsSent: 3,
        pongsReceived: 0,
        reason: "3 probes.",
      },
      {
        endpoint: "10.0.0.1:1",
        sources: ["heard"],
        state: "in-use",
        pingsSent: 4,
        pongsReceived: 4,
        rttMs: 1,
        loss: 0,
        mtu: 1420,
        reason: "Best.",
      },
    ],
    ownRegion: { id: 1, name: "R" },
    peerRegion: undefined,
    relayRttMs: 30,
    ownEndpoints: ["10.0.0.2:1"],
    mtu: 1420,
    rxBytes: 0,
    txBytes: 0,
  } as unknown as PeerPathReport;
  expect(workspaceStatus(report).split("\n")).toEqual([
    "The connection is direct, to 10.0.0.1:1, 1ms there and back.",
    "Relays: ours R (1), the workspace's none, 30ms there and back",
    "Packets: up to 1420 bytes; received 0 B, sent 0 B",
    "Our addresses: 10.0.0.2:1",
    "",
    "ADDRESS        STATE      ROUND TRIP  LOSS  CARRIES  FROM         WHY",
    "10.0.0.1:1     in-use     1ms         0 %   1420     heard        Best.",
    "203.0.113.9:2  no-answer                             coordinator  3 probes.",
    "",
  ]);
});
