import type { PeerPathReport } from "coder-client/node/path-report";
import { expect, it } from "vitest";
import { displayWidth } from "../base/text.ts";
import { PLAIN } from "../ui/paint.ts";
import { connectionsTable, workspaceStatus } from "./status-text.ts";

const WIDE = { columns: 200, paint: PLAIN };
const [NARROW, MIDDLE] = [80, 110].map((columns) => ({ columns, paint: PLAIN })) as [typeof WIDE, typeof WIDE];

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
  expect(connectionsTable([one, relayed], Date.parse("2026-11-23T20:01:05Z"), WIDE)).toBe(
    `${[
      "WORKSPACE  PATH               ROUND TRIP  PACKETS  RECEIVED  SENT     SINCE  COMMAND  PID",
      "demo       direct 10.0.0.1:1  2.5ms       1420     500 B     3.0 MiB  1m5s   ssh      42",
      "demo       relayed R                      1420     500 B     3.0 MiB  1m5s   ssh      42",
    ].join("\n")}\n`,
  );
  const narrow = connectionsTable(
    [{ ...one, path: { kind: "direct", endpoint: "[2001:db8::1234:5678]:41641" } }],
    0,
    NARROW,
  );
  expect(narrow.split("\n")).toEqual([
    "WORKSPACE  PATH                                ROUND TRIP  RECEIVED  COMMAND",
    "demo       direct [2001:db8::1234:5678]:41641  2.5ms       500 B     ssh",
    "",
  ]);
  expect(connectionsTable([], 0, WIDE)).toBe(
    "No connection is open on this machine.\nTo see the paths to a workspace: coder status <workspace>\n",
  );
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
  expect(workspaceStatus(report, WIDE).split("\n")).toEqual([
    "The connection is direct, to 10.0.0.1:1, 1ms there and back.",
    "Relays: ours R (1), the workspace's none, 30ms there and back",
    "Packets: up to 1420 bytes; received 0 B, sent 0 B",
    "Our addresses: 10.0.0.2:1",
    "",
    "ADDRESS        STATE      ROUND TRIP  LOSS  CARRIES  FROM",
    "10.0.0.1:1     in-use     1ms         0 %   1420     heard",
    "  Best.",
    "203.0.113.9:2  no-answer                             coordinator",
    "  3 probes.",
    "",
  ]);
});

it.each([
  ["80", NARROW],
  ["110", MIDDLE],
  ["200", WIDE],
] as const)("at %s columns every reason is there in whole words, and no line is wider", (_, view) => {
  const reason =
    "6 probes of full size were not answered within 14 s: a firewall on the way lets no UDP through, or the other side forgot this address";
  const candidate = {
    endpoint: "[2001:db8:1234:5678:9abc:def0:1234:5678]:41641",
    sources: ["coordinator", "call-me-maybe", "heard"],
    state: "no-answer",
    pingsSent: 6,
    pongsReceived: 0,
    rttMs: 123.4,
    loss: 1,
    mtu: 1280,
    reason,
  };
  const text = workspaceStatus(
    {
      candidates: [
        candidate,
        { ...candidate, state: "lost", endpoint: "日本語.example:1", reason: `${reason} 日本語` },
      ],
      ownEndpoints: Array.from({ length: 12 }, (_, index) => `192.168.100.${index}:41641`),
      mtu: 1280,
      rxBytes: 0,
      txBytes: 0,
    } as unknown as PeerPathReport,
    view,
  );
  for (const line of text.split("\n")) expect(displayWidth(line)).toBeLessThanOrEqual(view.columns);
  expect(text.replace(/\n {2}/g, " ").replaceAll("\n", " ")).toContain(reason);
  expect(text).toMatch(/^ADDRESS +STATE +ROUND TRIP/m);
});
