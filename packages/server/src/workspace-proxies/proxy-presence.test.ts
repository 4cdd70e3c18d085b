import { describe, expect, test } from "vitest";
import { isAttended, jointStatement, REPLICA_MS, UNCONFIRMED_MS } from "./proxy-presence.ts";

const NOW = 10 * UNCONFIRMED_MS;
const seen = (...agesMs: number[]) => agesMs.map((ageMs) => ({ updated_at: NOW - ageMs }));

test.each<[string, number[], boolean, boolean]>([
  ["no process", [], false, false],
  ["one that registered just now", [0], true, true],
  ["one that missed three registrations", [REPLICA_MS], false, true],
  ["one that is running beside one that is gone", [REPLICA_MS * 2, 1_000], true, true],
  ["one that missed all registrations for 15 minutes", [UNCONFIRMED_MS], false, false],
])("%s: may its region come into the map, and stay there", (_name, ages, comes, stays) => {
  expect([isAttended(false, seen(...ages), NOW), isAttended(true, seen(...ages), NOW)]).toEqual([comes, stays]);
});

describe("what processes state together", () => {
  const known = { derp_enabled: 1, derp_only: 1, path_apps: 1, stun_port: 3478, version: "v1" };
  const process = (fields: Partial<typeof known> = {}) => ({ ...known, ...fields });

  test("is what all of them state, in whatever order they registered", () => {
    const one = process();
    const other = process({ stun_port: 0 });
    expect(jointStatement(known, [one, one])).toEqual(known);
    for (const replicas of [
      [one, other],
      [other, one],
    ])
      expect(jointStatement(known, replicas)).toEqual({ ...known, stun_port: 0 });
    expect(jointStatement(known, [one, process({ stun_port: 3479 })]).stun_port).toBe(0);
    // More than a relay is served only if all processes serve it.
    expect(jointStatement(known, [one, process({ derp_enabled: 0, derp_only: 0 })])).toMatchObject({
      derp_enabled: 0,
      derp_only: 1,
    });
    expect(jointStatement(known, [one, process({ path_apps: 0 })]).path_apps).toBe(0);
    expect(jointStatement(known, [process({ derp_only: 0 })])).toMatchObject({ derp_only: 0 });
    expect(jointStatement(known, [other])).toEqual(other);
  });

  test("has the version of the one that started last", () => {
    expect(jointStatement(known, [process({ version: "v2" }), process({ version: "v3" })]).version).toBe("v3");
  });

  test("is the last known one if no process is running, or if an older program wrote their rows", () => {
    const old = { derp_enabled: null, derp_only: null, path_apps: null, stun_port: null, version: "v0" };
    expect(jointStatement(known, [])).toEqual(known);
    expect(jointStatement(known, [old])).toEqual({ ...known, path_apps: 0, version: "v0" });
    expect(jointStatement(known, [old, process({ stun_port: 0 })])).toMatchObject({ derp_enabled: 1, stun_port: 0 });
  });
});
