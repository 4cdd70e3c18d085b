import { isIPv6, SocketAddress } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  addressBytes,
  agentAddress,
  agentAddresses,
  bytesToUuid,
  CODER_PREFIX,
  coderAddress,
  formatIpv6,
  isAgentAddress,
  LEGACY_AGENT_ADDRESS,
  nodeIdOfUuid,
  parseUuid,
  randomClientAddress,
  randomNodeId,
  randomUuid,
  TAILSCALE_PREFIX,
  uuidFromBytes,
  uuidToBytes,
} from "./addresses.ts";

const AGENT = "01234567-89ab-4cde-8f01-23456789abcd";
const filled = (byte: number) => ({ bytes: (length: number) => new Uint8Array(length).fill(byte) });

test("an agent's addresses keep bytes 6 to 15 of its id, Tailscale's prefix first", () => {
  expect(agentAddress(AGENT)).toBe("fd7a:115c:a1e0:4cde:8f01:2345:6789:abcd");
  expect(coderAddress(AGENT)).toBe("fd60:627a:a42b:4cde:8f01:2345:6789:abcd");
  expect(agentAddresses(AGENT)).toEqual([agentAddress(AGENT), coderAddress(AGENT)]);
  expect(formatIpv6(addressBytes(AGENT, TAILSCALE_PREFIX))).toBe(agentAddress(AGENT));
});

test("an agent may have its own addresses and the legacy one, and no other", () => {
  const other = "01234567-89ab-4cde-8f01-23456789abce";
  expect(isAgentAddress(addressBytes(AGENT, TAILSCALE_PREFIX), AGENT)).toBe(true);
  expect(isAgentAddress(addressBytes(AGENT, CODER_PREFIX), AGENT)).toBe(true);
  expect(isAgentAddress(addressBytes(other, TAILSCALE_PREFIX), AGENT)).toBe(false);
  expect(isAgentAddress(new Uint8Array(4), AGENT)).toBe(false);
  const legacy = Uint8Array.from(
    LEGACY_AGENT_ADDRESS.split(":").flatMap((group) => [
      Number.parseInt(group.slice(0, 2), 16),
      Number.parseInt(group.slice(2), 16),
    ]),
  );
  expect(isAgentAddress(legacy, AGENT)).toBe(true);
});

test("ids read and write as 16 bytes, in either case", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      expect(uuidToBytes(bytesToUuid(bytes))).toEqual(bytes);
      expect(parseUuid(bytesToUuid(bytes).toUpperCase())).toEqual(bytes);
    }),
  );
});

test("anything but an id is refused", () => {
  for (const bad of [
    "",
    "x",
    AGENT.replaceAll("-", ""),
    `${AGENT}0`,
    `{${AGENT}}`,
    `g${AGENT.slice(1)}`,
    `${AGENT}\n`,
  ]) {
    expect(parseUuid(bad)).toBeUndefined();
    expect(() => uuidToBytes(bad)).toThrow("not a UUID");
  }
  for (const length of [0, 15, 17]) {
    expect(uuidFromBytes(new Uint8Array(length))).toBeUndefined();
    expect(() => bytesToUuid(new Uint8Array(length))).toThrow(`got ${length}`);
  }
});

test("random ids are of version 4 and random addresses lie under Tailscale's prefix", () => {
  expect(randomUuid(filled(0xff))).toBe("ffffffff-ffff-4fff-bfff-ffffffffffff");
  expect(randomUuid(filled(0))).toBe("00000000-0000-4000-8000-000000000000");
  expect(randomClientAddress(filled(0x11))).toBe("fd7a:115c:a1e0:4111:9111:1111:1111:1111");
});

test("node ids are positive and fit 63 bits", () => {
  expect(nodeIdOfUuid("00000000-0000-4000-8000-000000000005")).toBe(0x7fff_ffff_ffff_fffbn);
  expect(nodeIdOfUuid("00000000-0000-4000-0000-000000000005")).toBe(5n);
  expect(nodeIdOfUuid("00000000-0000-4000-8000-000000000000")).toBe(0n);
  expect(randomNodeId(filled(0xff))).toBe(2n ** 63n - 1n);
});

test("addresses are written in the canonical form", () => {
  expect(formatIpv6(new Uint8Array(16))).toBe("::");
  const byte = fc.constantFrom(0, 0, 0, 1, 0xab);
  fc.assert(
    fc.property(fc.array(byte, { minLength: 16, maxLength: 16 }), ([, ...rest]) => {
      const bytes = Uint8Array.of(0xfd, ...rest); // a family without dotted tails
      const text = formatIpv6(bytes);
      expect(isIPv6(text)).toBe(true);
      expect(new SocketAddress({ address: text, family: "ipv6" }).address).toBe(text);
    }),
    { numRuns: 300 },
  );
});
