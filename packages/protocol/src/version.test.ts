import { expect, test } from "vitest";
import {
  AGENT_API_VERSION,
  AGENT_NEEDED_VERSION,
  checkVersion,
  MISSING_AGENT_VERSION,
  MISSING_TAILNET_VERSION,
  parseVersion,
} from "./version.ts";

test("the same major version is served, a later minor one like the newest known", () => {
  expect(checkVersion("2.0", "2.6")).toEqual({ ok: true, version: { major: 2, minor: 0 } });
  expect(checkVersion("2.6", "2.6").ok).toBe(true);
  expect(checkVersion("2.10", "2.10").ok).toBe(true);
  expect(checkVersion("2.11", "2.10")).toEqual({ ok: true, version: { major: 2, minor: 10 } });
  expect(checkVersion("2.999")).toEqual({ ok: true, version: parseVersion(AGENT_API_VERSION) });
  expect(checkVersion(AGENT_NEEDED_VERSION).ok).toBe(true);
  expect(checkVersion(MISSING_AGENT_VERSION).ok).toBe(true);
});

test.each([
  ["3.0", "2.6", /speaks 2\.0 to 2\.6/],
  [MISSING_TAILNET_VERSION, "2.6", /1\.0 is not served/],
  ["", "2.6", /is not a version/],
  ["2", "2.6", /is not a version/],
  ["2.x", "2.6", /is not a version/],
  ["-2.0", "2.6", /is not a version/],
  ["2.0.1", "2.6", /is not a version/],
])("%s is refused by %s", (requested, own, detail) => {
  expect(checkVersion(requested, own)).toMatchObject({ ok: false, detail: expect.stringMatching(detail) });
});

test("what we announce is a version", () => {
  expect(parseVersion(AGENT_API_VERSION)).toEqual({ major: 2, minor: 14 });
});
