import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { toHex } from "../../test/link.ts";
import { DERPMapSchema } from "../gen/tailnet_pb.ts";
import { type DerpMapJson, derpMapFromProto, derpMapToProto } from "./derp-map.ts";

const MAP: DerpMapJson = {
  HomeParams: { RegionScore: { "999": 0.5 } },
  Regions: {
    "999": {
      EmbeddedRelay: true,
      RegionID: 999,
      RegionCode: "coder",
      RegionName: "Coder Embedded Relay",
      Nodes: [
        { Name: "999b", RegionID: 999, HostName: "coder.example.com", STUNPort: -1, DERPPort: 8443, ForceHTTP: true },
      ],
    },
    "7": {
      EmbeddedRelay: false,
      RegionID: 7,
      RegionCode: "x",
      RegionName: "X",
      Avoid: true,
      Nodes: [
        {
          Name: "7a",
          RegionID: 7,
          HostName: "x.example.com",
          CertName: "c",
          IPv4: "192.0.2.1",
          IPv6: "none",
          STUNPort: 3479,
          STUNOnly: true,
          DERPPort: 1,
          InsecureForTests: true,
          STUNTestIP: "192.0.2.9",
          CanPort80: true,
        },
      ],
    },
  },
};

test("a map survives the wire with every field", () => {
  const bytes = toBinary(DERPMapSchema, create(DERPMapSchema, derpMapToProto(MAP)));
  expect(derpMapFromProto(fromBinary(DERPMapSchema, bytes))).toEqual(MAP);
});

test("home_params is on the wire even when there is nothing in it", () => {
  expect(toHex(toBinary(DERPMapSchema, create(DERPMapSchema, derpMapToProto({ Regions: {} }))))).toBe("0a00");
  expect(derpMapFromProto(create(DERPMapSchema, {}))).toEqual({ Regions: {} });
});
