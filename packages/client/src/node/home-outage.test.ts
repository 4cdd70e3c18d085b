import { expect, it } from "vitest";
import { addMs, type Instant, instant } from "wg-userspace/base/instant";
import { type DerpMap, derpMapOf, relayNode } from "wg-userspace/derp/map";
import { HomeOutage, MAX_DIALLED } from "./home-outage.ts";
import { ANSWER_LIMIT_MS } from "./relay-choice.ts";

const NOW = instant(1_000_000);
const LIMIT = addMs(NOW, ANSWER_LIMIT_MS);

function mapOf(...ids: number[]): DerpMap {
  return derpMapOf(
    ids.map((regionId) => ({
      regionId,
      regionCode: `r${regionId}`,
      regionName: `Region ${regionId}`,
      embeddedRelay: false,
      avoid: false,
      nodes: [relayNode({ name: `${regionId}a`, regionId, hostName: "relay.example" })],
    })),
  );
}

const map = mapOf(1, 2, 3);
const idsOf = (choices: DerpMap): number[] => [...choices.regions.keys()];

/** A home whose relay was lost at NOW. */
function lost(): HomeOutage {
  const outage = new HomeOutage();
  outage.setHome(1, NOW);
  outage.relayReady(1, map);
  outage.relayLost(1, NOW);
  return outage;
}

it("waits for the home's relay, and then dials the others, again while none answers", () => {
  const outage = lost();
  expect([outage.nextTimeout(), outage.handleTimeout(map, instant(LIMIT - 1))]).toEqual([LIMIT, undefined]);
  expect(outage.handleTimeout(map, LIMIT)).toEqual({ kind: "dial", regionIds: [2, 3] });
  expect(idsOf(outage.choices(map))).toEqual([1, 2, 3]);
  const again: Instant = outage.nextTimeout()!;
  expect(again).toBeGreaterThan(LIMIT);
  expect(outage.handleTimeout(map, again)).toEqual({ kind: "dial", regionIds: [2, 3] });
});

it("leaves the home for the first relay that answers, until the silent ones were measured or answer", () => {
  const outage = lost();
  outage.handleTimeout(map, LIMIT);
  expect(outage.relayReady(3, map)).toEqual({ kind: "choose" });
  expect(idsOf(outage.choices(map))).toEqual([3]);
  outage.setHome(3, LIMIT);
  expect(outage.nextTimeout()).toBeUndefined();
  expect(outage.relayReady(2, map)).toBeUndefined();
  expect(idsOf(outage.choices(map))).toEqual([2, 3]);
  outage.measured(new Map([[1, 5]]));
  expect(idsOf(outage.choices(map))).toEqual([1, 2, 3]);
});

it("leaves the home at once for a relay that is connected already", () => {
  const outage = lost();
  outage.relayReady(2, map);
  expect(outage.handleTimeout(map, LIMIT)).toEqual({ kind: "choose" });
  expect(idsOf(outage.choices(map))).toEqual([2]);
});

it("stays where the home's relay is back in time, or before any other answers", () => {
  const early = lost();
  early.relayReady(1, map);
  expect(early.nextTimeout()).toBeUndefined();
  const late = lost();
  late.handleTimeout(map, LIMIT);
  expect(late.relayReady(1, map)).toBeUndefined();
  expect(late.relayReady(2, map)).toBeUndefined();
});

it("has nothing to do with a single relay, another region's loss, or without a home of its own", () => {
  const single = lost();
  expect(single.handleTimeout(mapOf(1), LIMIT)).toEqual({ kind: "dial", regionIds: [] });
  expect(idsOf(single.choices(mapOf(1)))).toEqual([1]);
  const outage = new HomeOutage();
  outage.setHome(1, NOW);
  outage.relayReady(1, map);
  outage.relayReady(2, map);
  outage.relayLost(2, NOW);
  expect(outage.nextTimeout()).toBeUndefined();
  outage.relayLost(1, NOW);
  outage.setHome(0, NOW);
  expect(outage.nextTimeout()).toBeUndefined();
});

it("gives a new home the same time, and dials a bounded number of relays", () => {
  const outage = new HomeOutage();
  outage.setHome(1, NOW);
  const many = mapOf(...Array.from({ length: 30 }, (_, index) => index + 1));
  const step = outage.handleTimeout(many, LIMIT);
  expect(step).toMatchObject({ kind: "dial" });
  expect(step?.kind === "dial" ? step.regionIds.length : 0).toBe(MAX_DIALLED);
  outage.setHome(2, LIMIT);
  expect(outage.nextTimeout()).toBe(addMs(LIMIT, ANSWER_LIMIT_MS));
});
