import { create, type DescMessage, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  BatchCreateLogsRequestSchema,
  BatchUpdateMetadataRequestSchema,
  LogSchema,
  ManifestSchema,
  Startup_Subsystem,
  StatsSchema,
  UpdateStartupRequestSchema,
  UpdateStatsRequestSchema,
} from "../gen/agent_pb.ts";
import {
  CoordinateRequestSchema,
  CoordinateResponse_PeerUpdateSchema,
  CoordinateResponseSchema,
  DERPMapSchema,
  NodeSchema,
} from "../gen/tailnet_pb.ts";
import { DrpcError } from "./error.ts";
import { MAX_PACKET_BYTES } from "./frame.ts";
import { decode } from "./message.ts";
import { costOf } from "./message-cost.ts";

function repeated(hex: string, bytes = MAX_PACKET_BYTES): Uint8Array {
  const unit = Buffer.from(hex, "hex");
  return Uint8Array.from(Buffer.alloc(bytes - (bytes % unit.length), unit));
}

/** A field with this tag around the content. */
function wrapped(tag: number, content: Uint8Array): Uint8Array {
  const header = [tag];
  let rest = content.length;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) header.push((rest % 0x80) | 0x80);
  return Buffer.concat([Uint8Array.from([...header, rest]), content]);
}

const inner = MAX_PACKET_BYTES - 20;

test.each<[string, DescMessage, Uint8Array]>([
  ["empty log lines", BatchCreateLogsRequestSchema, repeated("1200")],
  ["log lines with an empty time", BatchCreateLogsRequestSchema, repeated("12020a00")],
  ["metadata", BatchUpdateMetadataRequestSchema, repeated("1200")],
  ["one submessage again and again", UpdateStartupRequestSchema, repeated("0a00")],
  ["a packed list", UpdateStartupRequestSchema, wrapped(0x0a, wrapped(0x1a, repeated("01", inner)))],
  ["the same list, not packed", UpdateStartupRequestSchema, wrapped(0x0a, repeated("1801", inner))],
  ["a map", UpdateStatsRequestSchema, wrapped(0x0a, repeated("0a00", inner))],
  ["empty texts", CoordinateRequestSchema, wrapped(0x0a, wrapped(0x0a, repeated("5200", inner)))],
  ["peers", CoordinateResponseSchema, repeated("0a021200")],
  ["regions of the relay map", DERPMapSchema, repeated("12021200")],
])("a message of 4 MiB full of %s is refused before it is decoded", (_, schema, bytes) => {
  expect(decode(schema, bytes)).toMatchObject({
    name: "DrpcError",
    reason: "overflow",
    message: `${schema.typeName} has too many elements`,
  });
});

test.each<[string, DescMessage, string]>([
  ["a submessage as a number", BatchCreateLogsRequestSchema, "1000"],
  ["a number as a text that hides what follows", StatsSchema, "1200"],
  ["a tag with bits that decoders drop", BatchCreateLogsRequestSchema, "9280808080018000"],
  ["a group", CoordinateRequestSchema, "7b7c"],
])("%s cannot evade the count", (_, schema, hex) => {
  const found = decode(schema, repeated(hex));
  expect(found).toBeInstanceOf(DrpcError);
  expect(costOf(schema, repeated(hex), 1_000)).toBe("malformed");
});

test("each submessage counts two, each element one, and all else nothing", () => {
  const cost = (schema: DescMessage, bytes: Uint8Array): number => {
    let limit = 0;
    while (costOf(schema, bytes, limit) === "beyond") limit++;
    return limit;
  };
  const padding = "x".repeat(100); // shorter messages are not counted
  const startup = create(UpdateStartupRequestSchema, {
    startup: { version: padding, subsystems: [Startup_Subsystem.ENVBOX, Startup_Subsystem.ENVBUILDER] },
  });
  expect(cost(UpdateStartupRequestSchema, toBinary(UpdateStartupRequestSchema, startup))).toBe(2 + 2);
  const node = create(NodeSchema, {
    asOf: { seconds: 1n, nanos: 1 },
    addresses: [padding, padding],
    derpLatency: { "1-v4": 0.1, "2-v4": 0.2, "3-v4": 0.3 },
    derpForcedWebsocket: { 1: padding },
  });
  expect(cost(NodeSchema, toBinary(NodeSchema, node))).toBe(2 + 2 + 3 + 1);
  const manifest = create(ManifestSchema, {
    directory: padding,
    environmentVariables: { a: padding },
    derpMap: { regions: { 1: { nodes: [{ name: padding }, {}] } } },
    scripts: [{ timeout: { seconds: 5n } }],
  });
  expect(cost(ManifestSchema, toBinary(ManifestSchema, manifest))).toBe(1 + (2 + (1 + 2 + 2 + 2)) + (2 + 2));
});

test("the largest batches of stock agents and a full message of peers are read", () => {
  const line = create(LogSchema, { createdAt: { seconds: 1_800_000_000n, nanos: 999_999_999 }, level: 3 });
  const logs = create(BatchCreateLogsRequestSchema, { logs: Array.from({ length: 50_000 }, () => line) });
  expect(decode(BatchCreateLogsRequestSchema, toBinary(BatchCreateLogsRequestSchema, logs))).toMatchObject({
    logs: { length: 50_000 },
  });
  const peer = create(CoordinateResponse_PeerUpdateSchema, {
    id: new Uint8Array(16),
    node: {
      id: 123_456_789n,
      asOf: { seconds: 1_800_000_000n, nanos: 999_999_999 },
      key: new Uint8Array(32),
      disco: "discokey:".padEnd(73, "0"),
      preferredDerp: 999,
      derpLatency: Object.fromEntries(Array.from({ length: 10 }, (_, at) => [`${at}-v4`, 0.1])),
      addresses: ["fd7a:115c:a1e0:4aa0:b1b2:c1c2:d1d2:e1e2/128"],
      allowedIps: ["fd7a:115c:a1e0:4aa0:b1b2:c1c2:d1d2:e1e2/128"],
      endpoints: ["192.0.2.1:40000", "198.51.100.1:40000", "[2001:db8::1]:40000"],
    },
    kind: 1,
  });
  const peers = create(CoordinateResponseSchema, { peerUpdates: Array.from({ length: 8_000 }, () => peer) });
  const bytes = toBinary(CoordinateResponseSchema, peers);
  expect(bytes.length).toBeGreaterThan(3.5 * 1024 * 1024);
  expect(decode(CoordinateResponseSchema, bytes)).toMatchObject({ peerUpdates: { length: 8_000 } });
});

test("arbitrary bytes are counted without a throw", () => {
  let state = 7;
  for (let round = 0; round < 500; round++) {
    const bytes = Uint8Array.from({ length: 200 }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return round % 2 === 0 ? state >>> 24 : (state >>> 24) & 0x1f;
    });
    for (const schema of [ManifestSchema, CoordinateResponseSchema, UpdateStatsRequestSchema])
      expect(["within", "beyond", "malformed"]).toContain(costOf(schema, bytes, 20));
  }
});
