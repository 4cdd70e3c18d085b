import { expect, test } from "vitest";
import {
  AGENT_API_VERSION,
  checkVersion,
  MISSING_AGENT_VERSION,
  MISSING_TAILNET_VERSION,
  parseVersion,
} from "./version.ts";

test("the same major and no newer minor is served", () => {
  expect(checkVersion("2.0", "2.6")).toEqual({ ok: true, version: { major: 2, minor: 0 } });
  expect(checkVersion("2.6", "2.6").ok).toBe(true);
  expect(checkVersion("2.10", "2.10").ok).toBe(true);
  expect(checkVersion(MISSING_AGENT_VERSION).ok).toBe(true);
});

test.each([
  ["2.7", "2.6", /newer than this server's 2\.6/],
  ["2.10", "2.9", /newer/],
  ["3.0", "2.6", /speaks 2\.0 to 2\.6/],
  [MISSING_TAILNET_VERSION, "2.6", /1\.0 is not served/],
  ["", "2.6", /is no version/],
  ["2", "2.6", /is no version/],
  ["2.x", "2.6", /is no version/],
  ["-2.0", "2.6", /is no version/],
  ["2.0.1", "2.6", /is no version/],
])("%s is refused by %s", (requested, own, detail) => {
  expect(checkVersion(requested, own)).toMatchObject({ ok: false, detail: expect.stringMatching(detail) });
});

test("what we announce is a version", () => {
  expect(parseVersion(AGENT_API_VERSION)).toEqual({ major: 2, minor: 10 });
});
