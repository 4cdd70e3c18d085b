import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { agentAddresses, uuidToBytes } from "coder-protocol/addresses";
import { StatsSchema } from "coder-protocol/gen/agent_pb.js";
import {
  CoordinateRequestSchema,
  IPFields_IPClass,
  TelemetryEvent_Status,
  TelemetryEventSchema,
} from "coder-protocol/gen/tailnet_pb.js";
import { nodeToProto } from "coder-protocol/tailnet/node";
import { describe, expect, it } from "vitest";
import { derpMapOf } from "wg-userspace/derp/map";
import { agentLatency, agentNetwork, clientPaths } from "./agent-network.ts";
import { Coordinator } from "./coordinator.ts";
import { agentAuth, clientAuth } from "./peer-auth.ts";
import { PeerReports } from "./peer-reports.ts";

const AGENT = "00000000-0000-4000-8000-00000000000a";
const CLIENT = "00000000-0000-4000-8000-000000000001";
const OTHER = "00000000-0000-4000-8000-0000000000ff";
const AGENT_NODE = 42n;

const event = (init: MessageInitShape<typeof TelemetryEventSchema>) =>
  create(TelemetryEventSchema, { nodeIdRemote: AGENT_NODE, ...init });

const MAP = derpMapOf([
  { regionId: 999, regionCode: "coder", regionName: "Here", embeddedRelay: true, avoid: false, nodes: [] },
]);

/** An agent, and clients with a tunnel to it. */
function setup(clients: readonly string[] = [CLIENT]) {
  const coordinator = new Coordinator();
  const reports = new PeerReports();
  const sink = { send: () => true, end: () => undefined };
  const agent = coordinator.connect(
    AGENT,
    agentAuth(AGENT, () => false),
    sink,
    0,
  );
  const addresses = agentAddresses(AGENT).map((address) => `${address}/128`);
  agent.handle(
    create(CoordinateRequestSchema, {
      updateSelf: {
        node: nodeToProto({
          id: AGENT_NODE,
          asOfUnixMs: 0,
          key: new Uint8Array(32).fill(1),
          disco: "",
          preferredDerp: 999,
          derpLatency: new Map([
            ["999-v4", 0.012],
            ["999-v6", 0.02],
            ["5-v4", 0.1],
          ]),
          derpForcedWebsocket: new Map(),
          addresses,
          allowedIps: addresses,
          endpoints: ["203.0.113.9:4321"],
        }),
      },
    }),
    0,
  );
  for (const id of clients) {
    const client = coordinator.connect(
      id,
      clientAuth(() => true, { holder: "user ada", endedBy: () => false }),
      sink,
      0,
    );
    client.handle(create(CoordinateRequestSchema, { addTunnel: { id: uuidToBytes(AGENT) } }), 0);
  }
  const network = (nowMs = 0) => agentNetwork(AGENT, { coordinator, reports, map: MAP, nowMs, isPartial: false });
  return { coordinator, reports, network };
}

describe("reports of peers", () => {
  it("follow a client's connection from relayed to direct, by the events that stock clients send", () => {
    const { reports, network, coordinator } = setup();
    expect(network()).toMatchObject({ connections: { direct: 0, relayed: 0, unknown: 1 }, counted_by: "clients" });

    reports.telemetry(CLIENT, [event({ homeDerp: 999, application: "ssh" })], 1);
    expect(network()?.clients).toEqual([{ path: "unknown", home_region_name: "Here" }]);
    reports.telemetry(CLIENT, [event({ derpLatency: durationFromMs(31) })], 2);
    expect(network()?.clients).toEqual([{ path: "relayed", latency_ms: 31, home_region_name: "Here" }]);
    const p2pEndpoint = { hash: "abc", port: 1, fields: { version: 4, class: IPFields_IPClass.PRIVATE } };
    reports.telemetry(CLIENT, [event({ p2pEndpoint, p2pLatency: durationFromMs(2) })], 3);
    expect(network()?.clients).toEqual([
      { path: "direct", endpoint: "private", latency_ms: 2, home_region_name: "Here" },
    ]);
    // An event without a path leaves it unchanged.
    reports.telemetry(CLIENT, [event({})], 4);
    expect(network()?.connections).toEqual({ direct: 1, relayed: 0, unknown: 0 });
    expect(clientPaths(coordinator, reports)).toEqual({ direct: 1, relayed: 0, unknown: 0 });
    reports.telemetry(CLIENT, [event({ status: TelemetryEvent_Status.DISCONNECTED })], 5);
    expect(network()?.connections.unknown).toBe(1);
    expect(reports.size).toBe(0);
  });

  it("contain only the class of an address", () => {
    const { reports, network } = setup();
    const classes = [
      [4, IPFields_IPClass.PUBLIC, "public IPv4"],
      [6, IPFields_IPClass.PUBLIC, "public IPv6"],
      [4, IPFields_IPClass.LOOPBACK, "loopback"],
      [6, IPFields_IPClass.LINK_LOCAL, "link-local"],
      [4, 77, undefined],
    ] as const;
    for (const [version, ipClass, words] of classes) {
      reports.telemetry(CLIENT, [event({ derpLatency: durationFromMs(1) })], 0);
      reports.telemetry(CLIENT, [event({ p2pEndpoint: { fields: { version, class: ipClass as 0 } } })], 0);
      expect(network()?.clients[0]?.endpoint).toBe(words);
    }
    expect(JSON.stringify(network())).not.toContain("203.0.113");
  });

  it("use an agent's own count of its peers where it has one, until it is stale", () => {
    const { reports, network } = setup();
    const metric = (type: string, value: number) => ({
      name: "coderd_agentstats_currently_reachable_peers",
      value,
      labels: [{ name: "connection_type", value: type }],
    });
    const stats = create(StatsSchema, {
      connectionCount: 4n,
      connectionMedianLatencyMs: 7.5,
      metrics: [metric("p2p", 2), metric("derp", 1), { name: "other", value: 9 }],
    });
    reports.stats(AGENT, stats, 1_000);
    expect(network(2_000)).toMatchObject({
      home: { region_id: 999, region_name: "Here", latency_ms: 12 },
      connections: { direct: 2, relayed: 1, unknown: 0 },
      counted_by: "agent",
      median_latency_ms: 7.5,
    });
    expect(network(1_000_000)).toMatchObject({ connections: { direct: 0, relayed: 0, unknown: 1 } });
    // No peer could be pinged: the -0.001 on the wire is not a latency.
    reports.stats(AGENT, create(StatsSchema, { connectionMedianLatencyMs: -0.001 }), 3_000);
    expect(network(3_000)?.median_latency_ms).toBeUndefined();
  });

  it("are preferred to a count of the agent that is older than they are", () => {
    const { reports, network } = setup([CLIENT, OTHER]);
    const none = { name: "coderd_agentstats_currently_reachable_peers", value: 0 };
    const labels = [{ name: "connection_type", value: "p2p" }];
    const stats = create(StatsSchema, { metrics: [{ ...none, labels }] });
    reports.stats(AGENT, stats, 1_000);
    reports.telemetry(CLIENT, [event({ p2pLatency: durationFromMs(2) })], 1_500);
    expect(network(2_000)).toMatchObject({
      connections: { direct: 1, relayed: 0, unknown: 1 },
      counted_by: "clients",
    });
    // The event of a client without a path does not make the count older than the reports.
    reports.stats(AGENT, stats, 3_000);
    reports.telemetry(OTHER, [event({ homeDerp: 999 })], 3_500);
    expect(network(4_000)).toMatchObject({ connections: { direct: 0, unknown: 0 }, counted_by: "agent" });
  });

  it("give latencies by region name, of both families the smaller, as stock clients read them", () => {
    const { coordinator } = setup();
    expect(agentLatency(AGENT, coordinator, MAP)).toEqual({
      Here: { preferred: true, latency_ms: 12 },
      "Unnamed 5": { preferred: false, latency_ms: 100 },
    });
    expect(agentLatency(CLIENT, coordinator, MAP)).toBeUndefined();
  });

  it("stay bounded for any input", () => {
    const reports = new PeerReports();
    const flood = Array.from({ length: 5_000 }, (_, n) =>
      event({ nodeIdRemote: BigInt(n), application: "x".repeat(10_000), p2pLatency: { seconds: -5n, nanos: 0 } }),
    );
    for (let round = 0; round < 5; round++) reports.telemetry(CLIENT, flood.slice(round * 100), 0);
    const kept = reports.clientReports(CLIENT);
    expect(kept.length).toBeLessThanOrEqual(64);
    expect(kept.every((report) => report.application.length <= 64 && report.latencyMs === undefined)).toBe(true);
    for (let n = 0; n < 25_000; n++) {
      reports.telemetry(`client ${n}`, [event({})], n);
      reports.stats(`agent ${n}`, create(StatsSchema, { connectionMedianLatencyMs: Number.NaN }), n);
    }
    expect(reports.size).toBe(40_000);
    expect(reports.clientReports("client 0")).toEqual([]);
    expect(reports.agent("agent 24999")?.medianLatencyMs).toBeUndefined();
    reports.forget("client 24999");
    expect(reports.size).toBe(39_999);
  });
});
