import { expect, test } from "vitest";
import { decideRegion, parseChoice, type RegionChoice, type RegionState } from "./region-choice.ts";

const primary = { id: "primary", healthy: true };
const near = { id: "near", healthy: true };
const far = { id: "far", healthy: true };
const down = (region: RegionState): RegionState => ({ ...region, healthy: false });
const all = [primary, near, far];
const latencies = new Map([
  ["primary", 80],
  ["near", 12],
  ["far", 200],
]);
const byLatency: RegionChoice = { id: "near", by: "latency" };
const byPerson: RegionChoice = { id: "far", by: "person" };

test("with the primary alone nothing is measured and nothing remembered", () => {
  expect(decideRegion([primary], undefined, undefined)).toEqual({
    active: "primary",
    choice: undefined,
    measure: false,
  });
  expect(decideRegion([], undefined, undefined)).toEqual({ active: undefined, choice: undefined, measure: false });
});

test("the first visit uses the primary until the regions are measured, then the nearest healthy one", () => {
  expect(decideRegion(all, undefined, undefined)).toEqual({ active: "primary", choice: undefined, measure: true });
  expect(decideRegion(all, undefined, latencies)).toEqual({ active: "near", choice: byLatency, measure: false });
  expect(decideRegion([primary, down(near), far], undefined, latencies).active).toBe("primary");
});

test("of equal latencies the primary wins; regions that do not answer are not chosen", () => {
  expect(
    decideRegion(
      [primary, near],
      undefined,
      new Map([
        ["primary", 12],
        ["near", 12],
      ]),
    ).active,
  ).toBe("primary");
  expect(decideRegion([primary, near, far], undefined, new Map([["far", 900]])).active).toBe("far");
  expect(decideRegion(all, undefined, new Map())).toEqual({ active: "primary", choice: undefined, measure: false });
});

test("a choice by latency never flips with later latencies", () => {
  const later = new Map([
    ["primary", 1],
    ["near", 500],
    ["far", 2],
  ]);
  expect(decideRegion(all, byLatency, later)).toEqual({ active: "near", choice: byLatency, measure: false });
});

test("a person's choice beats the latency", () => {
  expect(decideRegion(all, byPerson, latencies)).toEqual({ active: "far", choice: byPerson, measure: false });
});

test("the primary stands in while the chosen region is not healthy, and the choice comes back by itself", () => {
  for (const choice of [byLatency, byPerson]) {
    const without = all.map((region) => (region.id === choice.id ? down(region) : region));
    expect(decideRegion(without, choice, latencies)).toEqual({ active: "primary", choice, measure: false });
    expect(decideRegion(all, choice, undefined)).toEqual({ active: choice.id, choice, measure: false });
  }
});

test("a chosen region that was deleted is forgotten, and another one chosen", () => {
  for (const choice of [byLatency, byPerson]) {
    const rest = all.filter(({ id }) => id !== choice.id);
    expect(decideRegion(rest, choice, undefined)).toEqual({ active: "primary", choice: undefined, measure: true });
  }
  expect(decideRegion([primary], byPerson, undefined)).toEqual({
    active: "primary",
    choice: undefined,
    measure: false,
  });
});

test("what is remembered is read back, and nothing else is taken for it", () => {
  expect(parseChoice(JSON.stringify(byPerson))).toEqual(byPerson);
  for (const text of [null, "", "null", "{}", "[]", "1", '{"id":1,"by":"person"}', '{"id":"x","by":"chance"}', "{"])
    expect(parseChoice(text)).toBeUndefined();
});
