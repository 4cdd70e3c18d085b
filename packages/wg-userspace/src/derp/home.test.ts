import { describe, expect, it } from "vitest";
import { instant } from "../base/instant.ts";
import type { RandomSource } from "../base/ports.ts";
import { HomeChooser } from "./home.ts";
import { type DerpMap, derpMapOf, type Region, relayNode } from "./map.ts";

const fixed = (value: number): RandomSource => ({ uint32: () => value, bytes: (length) => new Uint8Array(length) });

function region(regionId: number, fields: Partial<Region> & { stunOnly?: boolean } = {}): Region {
  const { stunOnly = false, ...rest } = fields;
  const nodes = [relayNode({ name: `${regionId}a`, regionId, hostName: "h", stunOnly })];
  return { regionId, regionCode: "", regionName: "", embeddedRelay: false, avoid: false, nodes, ...rest };
}

const map = derpMapOf([region(1), region(2), region(3), region(4, { stunOnly: true }), region(5, { avoid: true })]);

type Step = readonly [atSeconds: number, latencyMs: Readonly<Record<number, number>>, home: number | undefined];

function run(steps: readonly Step[], withMap: DerpMap = map, random = fixed(0)): void {
  const chooser = new HomeChooser(random);
  for (const [atSeconds, latencies, home] of steps) {
    const report = new Map(Object.entries(latencies).map(([id, ms]) => [Number(id), ms]));
    expect(chooser.report(withMap, report, instant(atSeconds * 1000))).toBe(home);
    expect(chooser.home).toBe(home);
  }
}

describe("HomeChooser", () => {
  it.each<readonly [string, readonly Step[]]>([
    ["takes the nearest region first", [[0, { 1: 50, 2: 20, 3: 30 }, 2]]],
    [
      "stays for a gain below 10 ms",
      [
        [0, { 1: 20, 2: 40 }, 1],
        [30, { 1: 20, 2: 10.5 }, 1],
      ],
    ],
    [
      "stays for a gain below a third",
      [
        [0, { 1: 100, 2: 200 }, 1],
        [30, { 1: 100, 2: 70 }, 1],
      ],
    ],
    [
      "moves for a gain of both 10 ms and a third",
      [
        [0, { 1: 100, 2: 200 }, 1],
        [30, { 1: 100, 2: 60 }, 2],
      ],
    ],
    [
      "moves when the old home does not answer",
      [
        [0, { 1: 10, 2: 20 }, 1],
        [30, { 2: 20 }, 2],
      ],
    ],
    [
      "moves for exactly 10 ms",
      [
        [0, { 1: 20, 2: 40 }, 1],
        [30, { 1: 20, 2: 10 }, 2],
      ],
    ],
    [
      "moves for exactly a third",
      [
        [0, { 1: 90, 2: 200 }, 1],
        [30, { 1: 90, 2: 60 }, 2],
      ],
    ],
    [
      "still counts a report of exactly five minutes ago",
      [
        [0, { 1: 20, 2: 100 }, 1],
        [300, { 1: 90, 2: 50 }, 1],
      ],
    ],
    [
      "counts the latest 64 reports",
      [
        [0, { 1: 20, 2: 100 }, 1],
        ...Array.from({ length: 63 }, (_, i): Step => [i + 1, { 1: 90, 2: 100 }, 1]),
        [64, { 1: 90, 2: 50 }, 2],
      ],
    ],
    [
      "remembers the best of five minutes",
      [
        [0, { 1: 20, 2: 100 }, 1],
        [60, { 1: 90, 2: 50 }, 1],
      ],
    ],
    [
      "forgets it after five minutes",
      [
        [0, { 1: 20, 2: 100 }, 1],
        [301, { 1: 90, 2: 50 }, 2],
      ],
    ],
    ["never picks a STUN-only or unknown region", [[0, { 4: 1, 77: 1, 3: 300 }, 3]]],
    ["picks a region to avoid only when nothing else answers", [[0, { 5: 1, 2: 200 }, 2]]],
    ["takes a region to avoid when it is alone", [[0, { 5: 1 }, 5]]],
    [
      "leaves a region to avoid as soon as another answers",
      [
        [0, { 5: 1 }, 5],
        [30, { 5: 1, 2: 200 }, 2],
      ],
    ],
    [
      "keeps its home when nothing can be measured",
      [
        [0, { 2: 10 }, 2],
        [30, {}, 2],
      ],
    ],
    ["ignores latencies that are no numbers", [[0, { 1: Number.NaN, 2: -5, 3: 40 }, 3]]],
  ])("%s", (_name, steps) => {
    run(steps);
  });

  it("falls back to an allowed relay region when nothing was ever measured", () => {
    expect([0, 1, 2, 3].map((n) => new HomeChooser(fixed(n)).report(map, new Map(), instant(0)))).toEqual([1, 2, 3, 1]);
    expect(new HomeChooser(fixed(0)).report(derpMapOf([region(5, { avoid: true })]), new Map(), instant(0))).toBe(5);
    expect(new HomeChooser(fixed(0)).report(derpMapOf([region(4, { stunOnly: true })]), new Map(), instant(0))).toBe(
      undefined,
    );
  });

  it("scales latencies by the scores of the map", () => {
    const scored = { ...map, regionScore: new Map([[2, 0.25]]) };
    run([[0, { 1: 50, 2: 100 }, 2]], scored);
    run([[0, { 1: 50, 2: 100 }, 1]], { ...map, regionScore: new Map([[2, -1]]) });
    // The score of the old home counts too: with it 50 counts as 200, so 100 is a gain.
    const heavy = { ...map, regionScore: new Map([[1, 4]]) };
    run(
      [
        [0, { 1: 50 }, 1],
        [30, { 1: 50, 2: 100 }, 2],
      ],
      heavy,
    );
  });

  it("leaves a home that is no longer in the map", () => {
    const chooser = new HomeChooser(fixed(0));
    chooser.report(map, new Map([[2, 10]]), instant(0));
    expect(chooser.report(derpMapOf([region(1), region(3)]), new Map(), instant(1000))).toBe(1);
  });
});
