import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { IPFields_IPClass, TelemetryEvent_Status, TelemetryEventSchema } from "coder-protocol/gen/tailnet_pb.js";
import { expect, it } from "vitest";
import type { PeerPathReport } from "../node/path-report.ts";
import { type TelemetryContext, telemetryEvent } from "./telemetry.ts";

const CONTEXT: TelemetryContext = {
  connectionId: new Uint8Array(16).fill(1),
  application: "ssh",
  clientVersion: "v1",
  nodeIdSelf: 5n,
  nodeIdRemote: 6n,
  connectedForMs: 1_234.6,
  setupMs: 99,
  status: "connected",
  atUnixMs: 1_700_000_000_000,
};
const REPORT = {
  path: { kind: "direct", endpoint: "203.0.113.9:41641" },
  candidates: [{ state: "in-use", rttMs: 12.4 }],
  ownRegion: { id: 999, name: "R" },
  timeToDirectMs: 80,
} as unknown as PeerPathReport;
const event = (report: Partial<PeerPathReport> = {}, context: Partial<TelemetryContext> = {}) =>
  create(TelemetryEventSchema, telemetryEvent({ ...REPORT, ...report } as PeerPathReport, { ...CONTEXT, ...context }));

it("a direct path: its latency and class, never the address", () => {
  const sent = event();
  expect(sent).toMatchObject({ nodeIdSelf: 5n, nodeIdRemote: 6n, homeDerp: 999, application: "ssh" });
  expect(durationMs(sent.p2pLatency!)).toBe(12);
  expect(durationMs(sent.p2pSetup!)).toBe(80);
  expect(sent.p2pEndpoint).toMatchObject({ port: 41641, fields: { version: 4, class: IPFields_IPClass.PUBLIC } });
  expect(sent.derpLatency).toBeUndefined();
  expect(JSON.stringify(sent, (_key, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain(
    "203.0.113",
  );
});

it("a relayed one: the relay's latency and no endpoint", () => {
  const sent = event({ path: { kind: "relayed", region: { id: 999, name: "R" } }, relayRttMs: 40 });
  expect(durationMs(sent.derpLatency!)).toBe(40);
  expect(sent.p2pEndpoint).toBeUndefined();
  expect(sent.p2pLatency).toBeUndefined();
});

it("the end of a connection", () => {
  expect(event({}, { status: "disconnected" }).status).toBe(TelemetryEvent_Status.DISCONNECTED);
});
