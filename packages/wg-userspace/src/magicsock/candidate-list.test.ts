import { describe, expect, it } from "vitest";
import { instant } from "../base/instant.ts";
import { ip } from "../base/ip.ts";
import type { Candidate } from "./candidate.ts";
import { CandidateList, MAX_CANDIDATES } from "./candidate-list.ts";
import { type UdpPath, udpPath } from "./path.ts";

const at = (port: number, address = "192.0.2.1"): UdpPath => udpPath({ address: ip(address), port });

function listOf(count: number): { list: CandidateList; candidates: Candidate[] } {
  const list = new CandidateList();
  const candidates = Array.from({ length: count }, (_, i) => list.add(at(i + 1), undefined)!);
  return { list, candidates };
}

describe("a list of candidates", () => {
  it("finds an address by its value, and accepts no port 0 and no address that may not be probed", () => {
    const { list, candidates } = listOf(2);
    expect(list.find(at(2))).toBe(candidates[1]);
    expect(list.find(at(2, "192.0.2.2"))).toBeUndefined();
    expect([list.add(at(0), undefined), list.add(at(5, "224.0.0.1"), undefined)]).toEqual([undefined, undefined]);
    expect(list.all).toEqual(candidates);
  });

  it("makes room by forgetting the oldest candidate that no source names and that is not in use", () => {
    const { list, candidates } = listOf(MAX_CANDIDATES);
    candidates[1]!.fromCoordinator = true;
    candidates[2]!.fromCallMeMaybe = true;
    const added = list.add(at(1000), candidates[0]);
    expect(list.all).toEqual([...candidates.slice(0, 3), ...candidates.slice(4), added]);
    for (const candidate of list.all) candidate.fromCoordinator = true;
    expect(list.add(at(1001), undefined)).toBeUndefined();
    expect(list.all).toHaveLength(MAX_CANDIDATES);
  });

  it("makes room for an address from which the peer pings, however many it names: the last one of which nothing was heard goes", () => {
    const { list, candidates } = listOf(MAX_CANDIDATES);
    for (const candidate of candidates) candidate.fromCoordinator = true;
    const [last, heard, answered, silent] = candidates.toReversed();
    heard!.heardAt = instant(1);
    answered!.lastPongAt = instant(1);
    expect(list.add(at(1000), last)).toBeUndefined();
    const added = list.add(at(1000), last, true);
    expect(list.all).toEqual([...candidates.filter((one) => one !== silent), added]);
    for (const candidate of list.all) candidate.fromCoordinator = true;
    for (const candidate of list.all) candidate.heardAt = instant(1);
    expect(list.add(at(1001), undefined, true)).toBeUndefined();
  });

  it("drops candidates that no source names and no ping came from within 45 s, except the one in use", () => {
    const now = instant(100_000);
    const { list, candidates } = listOf(5);
    const [inUse, named, heard, longAgo, never] = candidates;
    named!.fromCoordinator = true;
    heard!.heardAt = instant(now - 45_000);
    longAgo!.heardAt = instant(now - 45_001);
    list.expire(inUse, now);
    expect(list.all).toEqual([inUse, named, heard, never]);
    list.dropUnnamed(inUse, now);
    expect(list.all).toEqual([inUse, named, heard]);
    list.dropUnnamed(undefined, now);
    expect(list.all).toEqual([named, heard]);
  });

  it("knows which one answered last", () => {
    const { list, candidates } = listOf(3);
    candidates[0]!.lastPongAt = instant(500);
    candidates[1]!.lastPongAt = instant(700);
    expect([list.lastAnswered(0), list.lastAnswered(699), list.lastAnswered(700)]).toEqual([
      candidates[1],
      candidates[1],
      undefined,
    ]);
  });
});
