import { describe, expect, test } from "vitest";
import { nodeCryptoSuite } from "../io/crypto-suite.ts";
import { ipv6Packet, joinedPair } from "../testing/wireguard-link.ts";

describe("Device", () => {
  test("carries packets both ways after a handshake that the first packet starts", () => {
    const { link, a, b } = joinedPair(nodeCryptoSuite);
    a.send(ipv6Packet(1, 2, 100));
    link.run(100);
    expect(b.delivered.map((d) => d.packet)).toEqual([ipv6Packet(1, 2, 100)]);
    b.send(ipv6Packet(2, 1, 50));
    link.run(100);
    expect(a.delivered.map((d) => d.packet)).toEqual([ipv6Packet(2, 1, 50)]);
    expect(a.events).toEqual(["session-established"]);
    expect(b.events).toEqual(["session-established"]);
    expect(a.device.drops.counts).toEqual({});
    expect(b.device.drops.counts).toEqual({});
  });
});
