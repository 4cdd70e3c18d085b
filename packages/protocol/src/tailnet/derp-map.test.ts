import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { type DerpMap, derpMapOf, relayNode } from "wg-userspace/derp/map";
import { toHex } from "../../test/link.ts";
import { DERPMapSchema } from "../gen/tailnet_pb.ts";
import { derpMapFromProto, derpMapToProto } from "./derp-map.ts";

const MAP: DerpMap = derpMapOf(
  [
    {
      regionId: 999,
      regionCode: "coder",
      regionName: "Coder Embedded Relay",
      embeddedRelay: true,
      avoid: false,
      nodes: [
        relayNode({
          name: "999b",
          regionId: 999,
          hostName: "coder.example.com",
          stunPort: -1,
          derpPort: 8443,
          forceHttp: true,
        }),
      ],
    },
    {
      regionId: 7,
      regionCode: "x",
      regionName: "X",
      embeddedRelay: false,
      avoid: true,
      nodes: [
        {
          name: "7a",
          regionId: 7,
          hostName: "x.example.com",
          certName: "c",
          ipv4: "192.0.2.1",
          ipv6: "none",
          stunPort: 3479,
          stunOnly: true,
          derpPort: 1,
          insecureForTests: true,
          forceHttp: true,
          stunTestIp: "192.0.2.9",
          canPort80: true,
        },
      ],
    },
  ],
  new Map([[999, 0.5]]),
);

function decoded(map: DerpMap) {
  return derpMapFromProto(
    fromBinary(DERPMapSchema, toBinary(DERPMapSchema, create(DERPMapSchema, derpMapToProto(map)))),
  );
}

test("a map survives the wire with every field, its regions in the order of their ids", () => {
  expect(decoded(MAP)).toEqual({ map: MAP });
  expect([...MAP.regions.keys()]).toEqual([7, 999]);
});

test("home_params is on the wire even when it is empty", () => {
  expect(toHex(toBinary(DERPMapSchema, create(DERPMapSchema, derpMapToProto(derpMapOf([])))))).toBe("0a00");
});

describe("a message that is not a usable map is refused", () => {
  const node = { name: "1a", regionId: 1n, hostName: "a.example" };
  const region = { regionId: 1n, nodes: [node] };
  const cases: [string, MessageInitShape<typeof DERPMapSchema>, RegExp][] = [
    ["without a relay", {}, /no relay node/],
    ["with an id that differs from its key", { regions: { 2: region } }, /Regions\[2\]\.RegionID is 1/],
    ["with a region id out of range", { regions: { 70000: { ...region, regionId: 70000n } } }, /1 to 65535/],
    ["with a port out of range", { regions: { 1: { ...region, nodes: [{ ...node, derpPort: 70000 }] } } }, /DERPPort/],
    [
      "with a long region name",
      { regions: { 1: { ...region, regionName: "x".repeat(256) } } },
      /Regions\[1\] has a text/,
    ],
    [
      "with a long certificate name",
      { regions: { 1: { ...region, nodes: [{ ...node, certName: "x".repeat(256) }] } } },
      /Nodes\[0\] has a text/,
    ],
    [
      "with a score that is no number",
      { regions: { 1: region }, homeParams: { regionScore: { 1: Number.NaN } } },
      /RegionScore\[1\] is NaN/,
    ],
    [
      "with a score for no region id",
      { regions: { 1: region }, homeParams: { regionScore: { 0: 1 } } },
      /RegionScore\[0\]/,
    ],
  ];
  test.each(cases)("%s", (_, fields, error) => {
    expect(derpMapFromProto(create(DERPMapSchema, fields))).toEqual({ error: expect.stringMatching(error) });
  });

  test("a negative STUN port means none, whatever its value", () => {
    const result = derpMapFromProto(
      create(DERPMapSchema, { regions: { 1: { ...region, nodes: [{ ...node, stunPort: -7 }] } } }),
    );
    expect("map" in result && result.map.regions.get(1)?.nodes[0]?.stunPort).toBe(-1);
  });
});
