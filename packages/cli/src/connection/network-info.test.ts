import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PathRef, PeerPathReport } from "coder-client/node/path-report";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { derpMapOf, relayNode } from "wg-userspace/derp/map";
import type { NetReport } from "wg-userspace/netcheck/report";
import { networkInfo, type ReportedConnection, reportConnection } from "./network-info.ts";

const RELAYED: PathRef = { kind: "relayed", region: { id: 2, name: "New York" } };
const DIRECT: PathRef = { kind: "direct", endpoint: "10.0.0.2:4" };
const REPORT: PeerPathReport = {
  peerId: "a",
  path: DIRECT,
  candidates: [],
  peerRegion: { id: 2, name: "New York" },
  peerEndpoints: [],
  ownRegion: { id: 1, name: "Frankfurt" },
  ownEndpoints: [],
  sentNode: true,
  receivedNode: true,
  directBlocked: undefined,
  mtu: 1420,
  rxBytes: 5_000,
  txBytes: 1_000,
};
const region = (regionId: number, regionName: string) => ({
  regionId,
  regionCode: "x",
  regionName,
  embeddedRelay: false,
  avoid: false,
  nodes: [relayNode({ name: `${regionId}`, regionId, hostName: "x.example" })],
});
const MAP = derpMapOf([region(1, "Frankfurt"), region(2, "New York")]);
const NET = { regionLatencyMs: new Map([[1, 12.5]]) } as unknown as NetReport;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "network-info-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

it("has the fields editors read: rates over the time between two samples, every measured region by name", () => {
  const since = { atMs: 1_000, rxBytes: 1_000, txBytes: 0 };
  const now = { atMs: 3_000, rxBytes: 5_000, txBytes: 1_000 };
  expect(networkInfo({ rttMs: 7, path: DIRECT }, REPORT, NET, MAP, since, now)).toEqual({
    p2p: true,
    latency: 7,
    preferred_derp: "Frankfurt",
    derp_latency: { Frankfurt: 12.5 },
    upload_bytes_sec: 500,
    download_bytes_sec: 2_000,
    using_coder_connect: false,
  });
});

it("names the region that carried the ping, with 0 when it was not measured", () => {
  const zero = { atMs: 0, rxBytes: 0, txBytes: 0 };
  const info = networkInfo({ rttMs: 70, path: RELAYED }, REPORT, NET, MAP, zero, zero);
  expect(info).toMatchObject({
    p2p: false,
    preferred_derp: "New York",
    derp_latency: { "New York": 0, Frankfurt: 12.5 },
  });
});

function connectionWith(discoPing: ReportedConnection["discoPing"]): ReportedConnection {
  return {
    discoPing,
    pathReport: () => REPORT,
    netReport: () => NET,
    onPathChange: () => () => undefined,
    derpMap: MAP,
  };
}
const silent = { level: "error", log: () => undefined } as const;
const eventually = { timeout: 10_000, interval: 5 };

it("writes privately and by rename, at once; the status file goes, the network-info file stays", async () => {
  const dir = join(folder, "info", "deep");
  const stop = reportConnection({
    connection: connectionWith(async () => ({ rttMs: 3, path: DIRECT })),
    networkInfoDir: dir,
    intervalMs: 60_000,
    configDir: folder,
    workspace: "demo",
    command: "ssh",
    logger: silent,
  });
  const file = join(dir, `${process.ppid}.json`);
  await vi.waitFor(() => expect(existsSync(file)).toBe(true), eventually);
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ p2p: true, latency: 3 });
  expect([statSync(file).mode & 0o777, statSync(dir).mode & 0o777]).toEqual([0o600, 0o700]);
  expect(readdirSync(dir)).toHaveLength(1);
  const status = join(folder, "connections", `${process.pid}.json`);
  expect(JSON.parse(readFileSync(status, "utf8"))).toMatchObject({ workspace: "demo", path: DIRECT, pid: process.pid });
  stop();
  expect(readdirSync(join(folder, "connections"))).toEqual([]);
  expect(readdirSync(dir)).toHaveLength(1);
});

it.each([
  ["a ping that fails", "a folder", new Error("no answer")],
  ["a folder that cannot be made", "/proc/nowhere", undefined],
])(
  "%s does not end the command: it is retried, logged at level debug, and stops with it",
  async (_name, dir, failure) => {
    let pings = 0;
    const said: string[] = [];
    const stop = reportConnection({
      connection: connectionWith(async () => {
        pings++;
        if (failure !== undefined) throw failure;
        return { rttMs: 3, path: DIRECT };
      }),
      networkInfoDir: dir === "a folder" ? folder : dir,
      intervalMs: 10,
      configDir: dir === "a folder" ? folder : dir,
      workspace: "demo",
      command: "ssh",
      logger: { level: "debug", log: (level, message) => void said.push(`${level} ${message}`) },
    });
    const missed = () => said.filter((line) => line === "debug network information not written").length;
    await vi.waitFor(() => expect(missed()).toBeGreaterThanOrEqual(3), eventually);
    expect(pings).toBeGreaterThanOrEqual(3);
    expect(said.filter((line) => line.startsWith("warn"))).toEqual([]);
    stop();
    const after = [pings, said.length];
    // A second connection, started later, is at its third try: the first would have reached it too.
    let others = 0;
    const stopOther = reportConnection({
      connection: connectionWith(async () => {
        others++;
        throw new Error("no answer");
      }),
      networkInfoDir: folder,
      intervalMs: 10,
      configDir: folder,
      workspace: "demo",
      command: "ssh",
      logger: silent,
    });
    await vi.waitFor(() => expect(others).toBeGreaterThanOrEqual(3), eventually);
    stopOther();
    expect([pings, said.length]).toEqual(after);
  },
);
