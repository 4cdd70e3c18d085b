import { expect, test } from "vitest";
import {
  changedKeys,
  type Entries,
  entriesOf,
  MAX_MESSAGE_CHARACTERS,
  message,
  patchBodies,
  snapshotBodies,
} from "./entries.ts";

const entries = (data: Record<string, unknown>): Entries => entriesOf(data);
const parsed = (bodies: readonly string[]) => bodies.map((body) => JSON.parse(message(7, body)));

/** A browser's view after the messages. */
function applied(start: Record<string, unknown>, bodies: readonly string[]): Record<string, unknown> {
  let state = { ...start };
  for (const body of parsed(bodies)) {
    if (body.type === "snapshot") state = { ...body.data };
    else {
      Object.assign(state, body.set);
      for (const key of body.del) delete state[key];
    }
  }
  return state;
}

test("a snapshot holds everything, a patch what changed", () => {
  const before = entries({ a: 1, b: { x: [1] }, c: "text" });
  expect(parsed(snapshotBodies(3, before))).toEqual([
    { id: 7, type: "snapshot", rev: 3, data: { a: 1, b: { x: [1] }, c: "text" } },
  ]);
  const after = entries({ a: 2, b: { x: [1] }, d: null });
  const keys = changedKeys(before, after);
  expect(parsed(patchBodies(4, after, keys))).toEqual([
    { id: 7, type: "patch", rev: 4, set: { a: 2, d: null }, del: ["c"] },
  ]);
  expect(changedKeys(after, entries({ a: 2, b: { x: [1] }, d: null }))).toEqual([]);
  expect(patchBodies(4, after, [])).toEqual([]);
  expect(parsed(snapshotBodies(0, new Map()))).toEqual([{ id: 7, type: "snapshot", rev: 0, data: {} }]);
});

test("keys and values of any text stay data", () => {
  const hostile = { '"},"type":"denied': '</script>"\u2028\u0000', __proto__key: "x" };
  expect(applied({}, snapshotBodies(1, entries(hostile)))).toEqual(hostile);
});

test("data that is too long for one message is sent in several, none longer than the limit", () => {
  const rows = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`row${index}`, "x".repeat(400)]));
  const bodies = snapshotBodies(1, entries(rows));
  expect(bodies.length).toBeGreaterThan(2);
  for (const body of bodies) expect(body.length).toBeLessThan(MAX_MESSAGE_CHARACTERS + 200);
  expect(applied({ old: 1 }, bodies)).toEqual(rows);
  const patches = patchBodies(2, entries(rows), [...Object.keys(rows), "gone"]);
  expect(applied({ gone: 1 }, patches)).toEqual(rows);
  // Only the last part of each says that nothing more belongs to it.
  for (const all of [bodies, patches])
    expect(parsed(all).map(({ more }) => more)).toEqual([...all.slice(1).map(() => true), undefined]);
  const single = entries({ huge: "x".repeat(2 * MAX_MESSAGE_CHARACTERS) });
  expect(snapshotBodies(1, single)).toHaveLength(1);
});
