import { expect, test } from "vitest";
import { connectionId, isOrdered } from "./connection-id.ts";

test("ids sort by the time at which their connections began", () => {
  const ids = [1, 2, 1_000, 1_764_538_000_000].map((nowMs) => connectionId(nowMs, ""));
  expect(ids).toEqual(ids.toSorted());
  expect(ids.every(isOrdered)).toBe(true);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("one sorts behind the agent's last one, though the clock of its server is behind", () => {
  let previous = connectionId(1_000_000, "");
  for (const nowMs of [1_000_000, 999_000, 0]) {
    const next = connectionId(nowMs, previous);
    expect(next > previous).toBe(true);
    previous = next;
  }
});

test("a random one of an earlier release, or none, says nothing about the order", () => {
  for (const previous of ["", "c", "ffffffff-ffff-4fff-bfff-ffffffffffff"]) {
    expect(isOrdered(previous)).toBe(false);
    expect(connectionId(5, previous).slice(0, 13)).toBe("00000000-0005");
  }
});
