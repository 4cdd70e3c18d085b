import { expect, test } from "vitest";
import { AppUses, type UsedApp } from "./app-uses.ts";

const MINUTE = 60_000;
const NOW = Date.UTC(2026, 10, 30);
const app = (slugOrPort = "8080", userId = "u"): UsedApp => ({
  userId,
  workspaceId: "w",
  agentId: "a",
  method: "subdomain",
  slugOrPort,
});

function started() {
  let ids = 0;
  return new AppUses(() => `id-${++ids}`);
}

/** A report in short form. */
const reportOf = (uses: AppUses, now: number) =>
  uses.take(now).map((use) => [use.session_id, use.slug_or_port, use.requests, Date.parse(use.session_ended_at) - NOW]);

test("requests of one user to one app are one session, reported once", () => {
  const uses = started();
  uses.begin(app(), NOW)(NOW + 1);
  uses.begin(app(), NOW + 2)(NOW + 5);
  uses.begin(app("8081"), NOW + 3)(NOW + 4);
  expect(uses.take(NOW + 10)[0]).toEqual({
    user_id: "u",
    workspace_id: "w",
    agent_id: "a",
    access_method: "subdomain",
    slug_or_port: "8080",
    session_id: "id-1",
    session_started_at: "2026-11-30T00:00:00.000Z",
    session_ended_at: "2026-11-30T00:00:00.005Z",
    requests: 2,
  });
  uses.reported();
  expect([uses.take(NOW + 20), uses.size]).toEqual([[], 0]);
  expect(uses.counts).toEqual({ reported: 3, dropped: 0 });
});

test("an open use is reported repeatedly as the same session, with what is new", () => {
  const uses = started();
  const over = uses.begin(app(), NOW);
  expect(reportOf(uses, NOW + 10)).toEqual([["id-1", "8080", 1, 10]]);
  uses.reported();
  expect(reportOf(uses, NOW + 20)).toEqual([["id-1", "8080", 0, 20]]);
  uses.begin(app(), NOW + 21)(NOW + 22); // while the report is in progress
  uses.reported();
  over(NOW + 25);
  expect(reportOf(uses, NOW + 30)).toEqual([["id-1", "8080", 1, 25]]);
  uses.reported();
  expect(uses.size).toBe(0);
});

test("a report that failed is repeated, and one that the primary refuses is dropped", () => {
  const uses = started();
  uses.begin(app(), NOW)(NOW);
  expect(reportOf(uses, NOW)).toHaveLength(1);
  uses.failed();
  uses.begin(app(), NOW + 1)(NOW + 1);
  expect(reportOf(uses, NOW + 1)).toEqual([["id-1", "8080", 2, 1]]);
  uses.refused();
  expect([uses.size, uses.counts]).toEqual([0, { reported: 0, dropped: 2 }]);
});

test("uses that could not be reported for 15 minutes are dropped, and open ones continue", () => {
  const uses = started();
  uses.begin(app(), NOW)(NOW);
  uses.begin(app("9000"), NOW);
  expect(reportOf(uses, NOW + 15 * MINUTE - 1)).toHaveLength(2);
  uses.failed();
  expect(reportOf(uses, NOW + 15 * MINUTE)).toEqual([["id-2", "9000", 0, 15 * MINUTE]]);
  uses.failed();
  expect(uses.counts).toEqual({ reported: 0, dropped: 2 });
  uses.begin(app("9000"), NOW + 16 * MINUTE)(NOW + 16 * MINUTE);
  expect(reportOf(uses, NOW + 30 * MINUTE)).toEqual([["id-2", "9000", 1, 30 * MINUTE]]);
});

test("sessions are bounded, and a report has at most 1024, those that were reported longest ago first", () => {
  const uses = started();
  const ways = Array.from({ length: 5_000 }, (_, at) => uses.begin(app(String(at)), NOW));
  expect([uses.size, uses.counts.dropped]).toEqual([4_096, 904]);
  const first = reportOf(uses, NOW);
  uses.reported();
  const second = reportOf(uses, NOW);
  expect([first.length, first[0]![1], second.length, second[0]![1]]).toEqual([1_024, "0", 1_024, "1024"]);
  uses.reported();
  for (const over of ways) over(NOW + 1);
  for (let reports = 0; reports < 4; reports++) {
    uses.take(NOW + 2);
    uses.reported();
  }
  expect(uses.size).toBe(0);
});

test("a use that never pauses is reported completely, however long it lasts", () => {
  const uses = started();
  let begun = 0;
  const request = (at: number): void => {
    begun++;
    uses.begin(app(), at)(at);
  };
  for (let minute = 0; minute < 60; minute++) {
    request(NOW + minute * MINUTE);
    uses.take(NOW + minute * MINUTE + 1);
    request(NOW + minute * MINUTE + 2);
    uses.reported();
  }
  uses.take(NOW + 60 * MINUTE);
  uses.reported();
  expect(uses.counts).toEqual({ reported: begun, dropped: 0 });
});
