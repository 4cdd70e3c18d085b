import { expect, test } from "vitest";
import { cookieCounts, isNavigation, isPreflight, preflightAnswer, relationOf } from "./cross-origin.ts";

const OWN = "https://a.apps.example.com";
const SIBLING = "https://b.apps.example.com";
const counts = (method: string, headers: Record<string, string>, upgrade = false): boolean =>
  cookieCounts({ method, upgrade, headers }, relationOf(headers["origin"], OWN, new Set([SIBLING])));

test.each([
  [undefined, "own"],
  [OWN, "own"],
  [SIBLING, "sibling"],
  ["null", "foreign"],
  ["http://a.apps.example.com", "foreign"],
  ["https://a.apps.example.com:8443", "foreign"],
  ["https://c.apps.example.com", "foreign"],
  ["https://a.apps.example.com.evil.net", "foreign"],
])("a page of %s is %s", (origin, relation) => expect(relationOf(origin, OWN, new Set([SIBLING]))).toBe(relation));

test.each<[string, string, Record<string, string>, boolean]>([
  [
    "a link from another site",
    "GET",
    { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" },
    true,
  ],
  [
    "a frame of another site",
    "GET",
    { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" },
    false,
  ],
  [
    "a form of another app",
    "POST",
    {
      "sec-fetch-site": "same-site",
      "sec-fetch-mode": "navigate",
      "sec-fetch-dest": "document",
      origin: "https://c.apps.example.com",
    },
    false,
  ],
  [
    "a form that hides its origin",
    "POST",
    { "sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" },
    false,
  ],
  ["an image", "GET", { "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" }, false],
  [
    "a script",
    "GET",
    { "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script" },
    false,
  ],
  [
    "a fetch without CORS",
    "POST",
    { "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", origin: "https://c.apps.example.com" },
    false,
  ],
  ["a fetch of a sibling", "POST", { "sec-fetch-site": "same-site", "sec-fetch-mode": "cors", origin: SIBLING }, true],
  ["a page of the app", "POST", { "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", origin: OWN }, true],
  ["an address that was typed", "GET", { "sec-fetch-site": "none", "sec-fetch-mode": "navigate" }, true],
  [
    "a site that is not known",
    "GET",
    { "sec-fetch-site": "elsewhere", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" },
    false,
  ],
  ["an origin of null", "POST", { origin: "null" }, false],
  ["no browser, reading", "GET", {}, true],
  ["no browser, writing", "POST", {}, false],
])("security S7: the session cookie and %s", (_what, method, headers, expected) => {
  expect(counts(method, headers)).toBe(expected);
});

test.each<[Record<string, string>, boolean]>([
  [{ origin: OWN }, true],
  [{ origin: SIBLING }, true],
  [{ origin: "https://c.apps.example.com" }, false],
  [{ origin: "null" }, false],
  [{}, false],
])("security S8: an upgrade with a cookie and %j", (headers, expected) => {
  expect(counts("GET", headers, true)).toBe(expected);
});

test("only navigations are redirected to the sign-in", () => {
  const facts = (headers: Record<string, string>, method = "GET", upgrade = false) => ({ method, headers, upgrade });
  expect(isNavigation(facts({ "sec-fetch-mode": "navigate" }))).toBe(true);
  expect(isNavigation(facts({ "sec-fetch-mode": "cors", accept: "text/html" }))).toBe(false);
  expect(isNavigation(facts({ accept: "text/html,*/*" }))).toBe(true);
  expect(isNavigation(facts({ accept: "*/*" }))).toBe(false);
  expect(isNavigation(facts({ "sec-fetch-mode": "navigate" }, "POST"))).toBe(false);
  expect(isNavigation(facts({ accept: "text/html" }, "GET", true))).toBe(false);
});

test("a preflight of a sibling is granted what it asks for, within limits", () => {
  const headers = {
    origin: SIBLING,
    "access-control-request-method": "PATCH",
    "access-control-request-headers": "content-type, x-a",
  };
  expect(isPreflight({ method: "OPTIONS", upgrade: false, headers })).toBe(true);
  expect(isPreflight({ method: "OPTIONS", upgrade: false, headers: { origin: SIBLING } })).toBe(false);
  expect(preflightAnswer(headers)).toEqual({
    "Access-Control-Allow-Origin": SIBLING,
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Allow-Methods": "PATCH",
    "Access-Control-Allow-Headers": "content-type, x-a",
    "Access-Control-Max-Age": "600",
    Vary: "Origin",
  });
  expect(preflightAnswer({ ...headers, "access-control-request-method": "TRACE" })).toBeUndefined();
  expect(preflightAnswer({ ...headers, "access-control-request-headers": "a\u0000b" })).toBeUndefined();
  expect(preflightAnswer({ ...headers, "access-control-request-headers": "a".repeat(5000) })).toBeUndefined();
});
