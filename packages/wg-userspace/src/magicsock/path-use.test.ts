import { describe, expect, it } from "vitest";
import { ip } from "../base/ip.ts";
import { Candidate } from "./candidate.ts";
import { udpPath } from "./path.ts";
import { PathUse } from "./path-use.ts";

function candidateOf(pings: number, pongs: number): Candidate {
  const candidate = new Candidate(udpPath({ address: ip("192.0.2.1"), port: 1 }));
  return Object.assign(candidate, { pingsSent: pings, pongsReceived: pongs });
}

describe("the use of a path", () => {
  it("lasts from its beginning to the silence, and counts pings and pongs up to the last pong", () => {
    const use = new PathUse();
    const candidate = candidateOf(10, 5);
    use.begin(candidate, 1_000);
    Object.assign(candidate, { pingsSent: 18, pongsReceived: 12 });
    use.ponged(candidate);
    candidate.pingsSent = 25; // without an answer: the silence itself
    use.failed(4_000);
    expect([use.since, use.mayHaveFailed]).toEqual([1_000, true]);
    expect(use.takeFailure()).toEqual({ ms: 3_000, asked: 8, answered: 7 });
    expect([use.mayHaveFailed, use.takeFailure()]).toEqual([false, undefined]);
  });

  it("has no negative length, although the silence may have begun before", () => {
    const use = new PathUse();
    use.begin(candidateOf(3, 3), 1_000);
    use.failed(900);
    expect(use.takeFailure()).toEqual({ ms: 0, asked: 0, answered: 0 });
  });

  it("is not a failure once another path is in use, or none", () => {
    const use = new PathUse();
    use.begin(candidateOf(1, 1), 0);
    use.failed(10);
    use.end();
    expect(use.takeFailure()).toBeUndefined();
    use.failed(10);
    use.begin(candidateOf(2, 2), 20);
    expect([use.takeFailure(), use.since]).toEqual([undefined, 20]);
  });
});
