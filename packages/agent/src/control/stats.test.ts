import { describe, expect, it } from "vitest";
import { type PeerOnPath, StatsCollector } from "./stats.ts";

const collector = (peers: readonly PeerOnPath[]) =>
  new StatsCollector({
    connections: () => ({ tcp: 2, udp: 1 }),
    traffic: () => ({ rxBytes: 10, txBytes: 20 }),
    peers: () => peers,
    sessions: () => ({ ssh: 1, vscode: 0, jetbrains: 0 }),
  });

describe("StatsCollector", () => {
  it("counts clients by path under the name that control planes look for", () => {
    const { metrics } = collector([{ path: "direct", rttMs: 4 }, { path: "relayed" }, { path: "direct" }]).take();
    expect(metrics.map((metric) => [metric.name, metric.labels[0]?.value, metric.value])).toEqual([
      ["coderd_agentstats_currently_reachable_peers", "p2p", 2],
      ["coderd_agentstats_currently_reachable_peers", "derp", 1],
    ]);
  });

  it("reports the median of the measured round trips, and -1 when there is none", () => {
    const latency = (...rtts: number[]) =>
      collector(rtts.map((rttMs) => ({ path: "direct", rttMs }))).take().connectionMedianLatencyMs;
    expect(latency(9, 1, 4)).toBe(4);
    expect(latency(1, 2)).toBe(1.5);
    expect(collector([{ path: "relayed" }]).take().connectionMedianLatencyMs).toBe(-0.001);
  });
});
