import { isIP, isIPv6 } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hex, toHex } from "../../test/link.ts";
import { uuidToBytes } from "../addresses.ts";
import { CoordinateResponse_PeerUpdateSchema, NodeSchema } from "../gen/tailnet_pb.ts";
import {
  LOST,
  LOST_BY_CLOSE,
  MAX_ENDPOINTS,
  MAX_PREFIXES,
  type NodeInfo,
  nodeFromProto,
  nodeToProto,
  peerUpdateFromProto,
} from "./node.ts";

const NODE: NodeInfo = {
  id: 12345678901234567n,
  asOfUnixMs: 1_700_000_000_123,
  key: new Uint8Array(32).fill(7),
  disco: `discokey:${"ab".repeat(32)}`,
  preferredDerp: 999,
  derpLatency: new Map([["999-v4", 0.0125]]),
  derpForcedWebsocket: new Map([[999, "upgrade refused"]]),
  addresses: ["fd7a:115c:a1e0::1/128"],
  allowedIps: ["fd7a:115c:a1e0::1/128", "10.0.0.0/8"],
  endpoints: ["192.0.2.1:41641", "[2001:db8::1]:41641"],
};
const ID = "01234567-89ab-4cde-8f01-23456789abcd";

function wire(changes: Partial<NodeInfo> = {}) {
  return create(NodeSchema, nodeToProto({ ...NODE, ...changes }));
}

describe("nodes", () => {
  test("a node survives the wire", () => {
    const bytes = toBinary(NodeSchema, wire());
    expect(nodeFromProto(fromBinary(NodeSchema, bytes))).toEqual(NODE);
  });

  test("field numbers and the key's prefix are those of the contract", () => {
    const node = {
      ...NODE,
      id: 1n,
      asOfUnixMs: 1000,
      disco: "d",
      derpLatency: new Map([["a", 1]]),
      derpForcedWebsocket: new Map([[1, "b"]]),
      addresses: ["::1/128"],
      allowedIps: ["::2/128"],
      endpoints: ["1.2.3.4:5"],
    };
    expect(toHex(toBinary(NodeSchema, create(NodeSchema, nodeToProto(node))))).toBe(
      toHex(
        hex(`08 01
             12 02 08 01
             1a 22 6e 70 ${"07".repeat(32)}
             22 01 64
             28 e7 07
             32 0c 0a 01 61 11 00 00 00 00 00 00 f0 3f
             3a 05 08 01 12 01 62
             42 07 3a 3a 31 2f 31 32 38
             4a 07 3a 3a 32 2f 31 32 38
             52 09 31 2e 32 2e 33 2e 34 3a 35`),
      ),
    );
  });

  const faults: [string, Partial<NodeInfo>, RegExp][] = [
    ["a short key", { key: new Uint8Array(31) }, /key is not/],
    ["a disco key of another form", { disco: "discokey:abc" }, /disco/],
    ["a negative home", { preferredDerp: -1 }, /preferred_derp/],
    ["an address without length", { addresses: ["fd7a::1"] }, /addresses has "fd7a::1"/],
    ["a length beyond the family", { allowedIps: ["10.0.0.0/33"] }, /allowed_ips/],
    ["text", { allowedIps: ["everything"] }, /no address\/bits/],
    ["too many prefixes", { addresses: Array(MAX_PREFIXES + 1).fill("10.0.0.1/32") }, /at most 64/],
  ];
  test.each(faults)("%s makes a node unusable", (_, changes, error) => {
    expect(nodeFromProto(wire(changes))).toEqual({ error: expect.stringMatching(error) });
  });

  test("a key without its prefix is refused", () => {
    expect(nodeFromProto(create(NodeSchema, { ...nodeToProto(NODE), key: new Uint8Array(34).fill(1) }))).toHaveProperty(
      "error",
    );
  });

  test("bad endpoints and latencies are left out, and the list is cut", () => {
    const endpoints = [
      "nonsense",
      "1.2.3.4",
      "1.2.3.4:99999",
      "::1:1",
      "[1.2.3.4]:1",
      ...Array.from({ length: 50 }, (_, i) => `10.0.0.1:${i + 1}`),
    ];
    const node = nodeFromProto(
      create(NodeSchema, {
        ...nodeToProto(NODE),
        endpoints,
        derpLatency: { a: Number.NaN, b: -1, "1-v6": 2 },
        derpForcedWebsocket: { [-3]: "x", 5: "y".repeat(5000) },
      }),
    ) as NodeInfo;
    expect(node.endpoints).toHaveLength(MAX_ENDPOINTS);
    expect(node.endpoints[0]).toBe("10.0.0.1:1");
    expect([...node.derpLatency]).toEqual([["1-v6", 2]]);
    expect([...node.derpForcedWebsocket].map(([region, reason]) => [region, reason.length])).toEqual([[5, 64]]);
  });

  test("addresses are accepted exactly when Node accepts them", () => {
    const text = fc.oneof(
      fc.ipV6(),
      fc.ipV4(),
      fc.stringMatching(/^[0-9a-f:.]{2,20}$/),
      fc
        .array(fc.constantFrom("0", "ab", "::", ":", "1.2.3.4", "ffff1"), { maxLength: 10 })
        .map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(text, (address) => {
        const accepted = !("error" in nodeFromProto(wire({ addresses: [`${address}/32`] })));
        expect([address, accepted]).toEqual([address, isIP(address) !== 0]);
      }),
      { numRuns: 1_000 },
    );
    expect(isIPv6("::")).toBe(true);
  });

  test("any decoded node: no throw", () => {
    fc.assert(
      fc.property(
        fc.record({
          key: fc.uint8Array({ maxLength: 40 }),
          disco: fc.string({ maxLength: 80 }),
          preferredDerp: fc.integer(),
          addresses: fc.array(fc.string({ maxLength: 50 }), { maxLength: 3 }),
          asOf: fc.record({ seconds: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), nanos: fc.integer() }),
        }),
        (fields) => {
          expect(typeof nodeFromProto(create(NodeSchema, fields))).toBe("object");
        },
      ),
    );
  });
});

describe("peer updates", () => {
  const id = uuidToBytes(ID);
  const update = (fields: object) =>
    peerUpdateFromProto(create(CoordinateResponse_PeerUpdateSchema, { id, ...fields }));

  test("each kind is recognised", () => {
    expect(update({ kind: 1, node: nodeToProto(NODE) })).toEqual({ kind: "node", id: ID, node: NODE });
    expect(update({ kind: 2 })).toEqual({ kind: "disconnected", id: ID });
    expect(update({ kind: 3, reason: LOST })).toEqual({ kind: "lost", id: ID, byClose: false });
    expect(update({ kind: 3, reason: LOST_BY_CLOSE })).toEqual({ kind: "lost", id: ID, byClose: true });
    expect(update({ kind: 4 })).toEqual({ kind: "ready", id: ID });
  });

  test("an update without usable content is ignored", () => {
    expect(update({ kind: 0 })).toBeUndefined();
    expect(update({ kind: 99 })).toBeUndefined();
    expect(update({ kind: 1 })).toBeUndefined();
    expect(update({ kind: 1, node: {} })).toBeUndefined();
    expect(update({ kind: 2, id: new Uint8Array(3) })).toBeUndefined();
  });
});
