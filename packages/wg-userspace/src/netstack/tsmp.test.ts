import { describe, expect, it } from "vitest";
import { memoryOf, SlotOutput } from "../../test/scenarios/tcp-harness.ts";
import { instant } from "../base/instant.ts";
import { type IpAddress, ip } from "../base/ip.ts";
import { OwnAddresses } from "./own-addresses.ts";
import { Pinger } from "./pinger.ts";
import { Tsmp } from "./tsmp.ts";
import { scalarChecksum } from "./wire/checksum.ts";
import { emitIpHeader, parseIpPacket } from "./wire/ip.ts";
import { IpPacket } from "./wire/ip-packet.ts";

const own = ip("fd00::1");
const peer = ip("fd00::2");
const DATA = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const HEADER = 40;

function setUp(slots?: number) {
  const output = new SlotOutput(1280, slots);
  const pinger = new Pinger();
  const tsmp = new Tsmp({ output, checksum: scalarChecksum, own: new OwnAddresses([own]), pinger });
  const give = (payload: readonly number[], from: IpAddress = peer, at = 1_000): string | undefined => {
    const memory = memoryOf(new Uint8Array(HEADER + payload.length));
    emitIpHeader(memory, 0, from, own, 99, payload.length, scalarChecksum);
    memory.bytes.set(payload, HEADER);
    const packet = new IpPacket();
    expect(parseIpPacket(memory, 0, memory.bytes.length, scalarChecksum, packet)).toBeUndefined();
    return tsmp.handle(memory, packet, instant(at));
  };
  return { output, pinger, tsmp, give };
}

describe("TSMP", () => {
  it("answers a ping from the pinged address with its data and port 0", () => {
    const { output, give } = setUp();
    expect(give([0x70, ...DATA, 99, 99])).toBeUndefined();
    const [pong, ...more] = output.take();
    expect(more).toEqual([]);
    expect([...pong!.subarray(HEADER)]).toEqual([0x6f, ...DATA, 0, 0]);
    expect([pong!.subarray(8, 24), pong!.subarray(24, 40)]).toEqual([new Uint8Array(own), new Uint8Array(peer)]);
  });

  it("sends a ping and hands its answer to the pinger", () => {
    const { output, pinger, tsmp, give } = setUp();
    const roundTrips: number[] = [];
    expect(tsmp.sendPing(own, peer, DATA)).toBe(true);
    pinger.add("tsmp", peer, DATA, (rttMs) => void roundTrips.push(rttMs), instant(1_000));
    expect([...output.take()[0]!.subarray(HEADER)]).toEqual([0x70, ...DATA]);
    expect(give([0x6f, ...DATA, 0, 0], ip("fd00::3"))).toBe("no-socket");
    expect(give([0x6f, ...DATA.with(7, 9), 0, 0])).toBe("no-socket");
    expect(give([0x6f, ...DATA, 0, 0], peer, 1_025)).toBeUndefined();
    expect(give([0x6f, ...DATA, 0, 0])).toBe("no-socket");
    expect(roundTrips).toEqual([25]);
    expect(output.take()).toEqual([]);
  });

  it("drops what is too short or of another kind", () => {
    const { output, give } = setUp();
    expect([give([]), give([0x70]), give([0x70, ...DATA.subarray(1)]), give([0x6f, ...DATA.subarray(1)])]).toEqual([
      "too-short",
      "too-short",
      "too-short",
      "too-short",
    ]);
    expect([give([0x72, ...DATA]), give([0x00])]).toEqual(["unknown-type", "unknown-type"]);
    expect(give([0x70, ...DATA])).toBeUndefined(); // the shortest ping
    expect(output.take()).toHaveLength(1);
  });

  it("reports that there is no slot", () => {
    const { tsmp, give } = setUp(0);
    expect([tsmp.sendPing(own, peer, DATA), give([0x70, ...DATA])]).toEqual([false, "no-slot"]);
  });
});
