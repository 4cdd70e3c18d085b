import { describe, expect, test } from "vitest";
import {
  altered,
  checkDueAt,
  healthColumns,
  healthOf,
  type Observation,
  observed,
  type ProxyHealth,
  unregistered,
  warningsOf,
} from "./health-state.ts";

const MINUTE = 60_000;
const OK: Observation = { kind: "ok", warnings: [] };
const NO_ANSWER: Observation = { kind: "no-answer", why: "connect ECONNREFUSED" };
const BAD: Observation = { kind: "bad-answer", why: "it answered HTTP 500" };
const ERRORS: Observation = { kind: "reports-errors", errors: ["no relay"], warnings: [] };
const GONE: Observation = { kind: "gone", why: "it ended" };
const UNATTENDED: Observation = { kind: "unattended" };

/** The health after these observations, a minute apart from minute 1 on. */
function after(observations: readonly Observation[], hasRelay = true): ProxyHealth {
  return observations.reduce(
    (health, observation, index) => observed(health, observation, hasRelay, (index + 1) * MINUTE),
    unregistered(0),
  );
}

describe("status", () => {
  test.each<[string, Observation[], ProxyHealth["status"]]>([
    ["nothing known", [], "unregistered"],
    ["a report without errors", [OK], "ok"],
    ["no answer", [NO_ANSWER], "unreachable"],
    ["another answer", [BAD], "unhealthy"],
    ["errors in its report", [ERRORS], "unhealthy"],
    ["its end", [OK, GONE], "unreachable"],
    ["an answer after no answer", [NO_ANSWER, NO_ANSWER, OK], "ok"],
    ["no answer after an answer", [OK, NO_ANSWER], "unreachable"],
    ["no process, and there was none before", [UNATTENDED], "unregistered"],
    ["no process any more", [OK, UNATTENDED], "unreachable"],
  ])("%s", (_name, observations, status) => {
    expect(after(observations).status).toBe(status);
  });

  test("lasts since its first check, not its last", () => {
    expect(after([OK, NO_ANSWER, NO_ANSWER, NO_ANSWER])).toMatchObject({ since: 2 * MINUTE, failures: 3 });
    expect(after([OK, NO_ANSWER, BAD])).toMatchObject({ since: 3 * MINUTE, failures: 2 });
    expect(after([OK, NO_ANSWER, OK])).toMatchObject({ since: 3 * MINUTE, failures: 0 });
  });
});

describe("the region", () => {
  test.each<[string, Observation[], boolean]>([
    ["is out before the first check", [], false],
    ["enters with the first good check", [OK], true],
    ["stays through one failure", [OK, NO_ANSWER], true],
    ["leaves with the second consecutive failure, of any kind", [OK, NO_ANSWER, BAD], false],
    ["stays through failures that are not in a row", [OK, BAD, OK, BAD, OK], true],
    ["leaves at once when its own report has errors", [OK, ERRORS], false],
    ["leaves at once when the proxy ends", [OK, GONE], false],
    ["leaves at once when no process is registered any more", [OK, UNATTENDED], false],
    ["comes back", [OK, GONE, OK], true],
    ["stays out as long as there was no good check", [NO_ANSWER, BAD, ERRORS], false],
  ])("%s", (_name, observations, inMap) => {
    expect(after(observations).inMap).toBe(inMap);
  });

  test("belongs to a relay: without one it never enters the map, and leaves it", () => {
    expect(after([OK], false)).toMatchObject({ status: "ok", inMap: false });
    expect(observed(after([OK]), OK, false, 5 * MINUTE).inMap).toBe(false);
  });

  test("is held out for ten minutes after it left for the third change within ten", () => {
    const flapping = after([OK, GONE, OK, GONE]); // changes in minutes 1 to 4, of which the last three count
    expect(flapping).toMatchObject({ inMap: false, heldUntil: 14 * MINUTE });
    const held = observed(flapping, OK, true, 13 * MINUTE);
    expect(held).toMatchObject({ status: "ok", inMap: false });
    expect(warningsOf(held, 13 * MINUTE)).toEqual([expect.stringContaining("left out of the relay map until")]);
    const back = observed(held, OK, true, 14 * MINUTE);
    expect(back.inMap).toBe(true);
    expect(warningsOf(back, 14 * MINUTE)).toEqual([]);
  });

  test("leaves and is held out as well if its content changes for the third time", () => {
    const once = altered(after([OK]), true, 2 * MINUTE);
    expect(once).toMatchObject({ inMap: true, heldUntil: 0, changes: [MINUTE, 2 * MINUTE] });
    const twice = altered(once, true, 3 * MINUTE);
    expect(twice).toMatchObject({ inMap: false, heldUntil: 13 * MINUTE });
    expect(altered(once, true, 20 * MINUTE)).toMatchObject({ inMap: true, heldUntil: 0 });
    expect(altered(after([OK]), false, 2 * MINUTE)).toMatchObject({ inMap: false, heldUntil: 0 });
    const out = after([OK, GONE]);
    expect(altered(out, true, 3 * MINUTE)).toBe(out);
  });

  test("may come and go slowly any number of times", () => {
    let health = unregistered(0);
    for (let at = 0; at < 100 * MINUTE; at += 12 * MINUTE) {
      health = observed(health, OK, true, at);
      expect(health.inMap).toBe(true);
      health = observed(health, GONE, true, at + 6 * MINUTE);
      expect(health).toMatchObject({ inMap: false, heldUntil: 0 });
    }
  });

  test("keeps a bounded number of changes", () => {
    let health = unregistered(0);
    for (let at = 0; at < 1_000; at++) health = observed(health, at % 2 === 0 ? OK : GONE, true, at);
    expect(health.changes.length).toBeLessThanOrEqual(3);
  });
});

test("a proxy without a process keeps the reason why it was found unreachable", () => {
  expect(after([OK, GONE, UNATTENDED])).toMatchObject({
    status: "unreachable",
    since: 2 * MINUTE,
    errors: ["it ended"],
  });
  expect(after([OK, UNATTENDED]).errors).toEqual(["no process of it has registered for a while"]);
  expect(after([UNATTENDED]).errors).toEqual([]);
});

test("the next check is due after the interval, and soon where the region is in doubt", () => {
  const interval = MINUTE;
  expect(checkDueAt(unregistered(0), interval)).toBe(Number.NEGATIVE_INFINITY);
  expect(checkDueAt(after([OK]), interval)).toBe(2 * MINUTE);
  expect(checkDueAt(after([OK, NO_ANSWER]), interval)).toBe(2 * MINUTE + 5_000);
  expect(checkDueAt(after([OK, NO_ANSWER, NO_ANSWER]), interval)).toBe(4 * MINUTE);
  expect(checkDueAt(after([OK, NO_ANSWER]), 1_000)).toBe(2 * MINUTE + 1_000);
});

test("the columns of the store hold the whole state; an unreadable one means unregistered", () => {
  const health = after([OK, { kind: "ok", warnings: ["old release"] }, GONE, OK, GONE]);
  expect(healthOf({ ...healthColumns(health), created_at: 1 })).toEqual(health);
  for (const text of ["", "{", "[]", '{"status":"splendid"}'])
    expect(healthOf({ ...healthColumns(health), health: text, created_at: 7 })).toEqual(unregistered(7));
});
