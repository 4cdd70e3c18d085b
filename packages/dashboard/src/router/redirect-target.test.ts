import { describe, expect, it } from "vitest";
import { redirectOf, redirectTarget } from "./redirect-target.ts";

const ORIGIN = "https://coder.example.com";

/** None of these may lead away from the origin, nor run script. */
const REFUSED = [
  "",
  "workspaces",
  "https://evil.example",
  "https://coder.example.com/workspaces",
  "http://coder.example.com/",
  "HTTPS://evil.example",
  "//evil.example",
  "///evil.example",
  "////evil.example",
  "//evil.example/%2e%2e",
  "//user@evil.example",
  "//coder.example.com@evil.example",
  "//coder.example.com:8443/",
  "//3000--main--box--alice.apps.example.com/",
  "/\\evil.example",
  "/\\/evil.example",
  "\\/evil.example",
  "\\\\evil.example",
  "/\t/evil.example",
  "\t//evil.example",
  "/\n/evil.example",
  "/\r/evil.example",
  "/\u0000/evil.example",
  "/\u000b/evil.example",
  "/\u007f/evil.example",
  "/\u0085/evil.example",
  " //evil.example",
  " /workspaces",
  "\u00a0//evil.example",
  "javascript:alert(1)",
  "JaVaScRiPt:alert(1)",
  "java\nscript:alert(1)",
  "\u0001javascript:alert(1)",
  "data:text/html,<script>alert(1)</script>",
  "vbscript:x",
  "blob:https://coder.example.com/1",
  "file:///etc/passwd",
  "mailto:x@example.com",
  "about:blank",
  "ws://evil.example",
  "/.//evil.example",
  "/..//evil.example",
  "/%2e//evil.example",
  "/a/..//evil.example",
  "/./\\evil.example",
  "/workspaces\\..\\..",
  "//[::1]/",
  "//127.1/",
  "//0x7f000001/",
  "//xn--80ak6aa92e.example/",
  "//еvil.example/",
  "//evil.example\\@coder.example.com",
  "?redirect=/x",
  "#x",
  ".",
  "..",
  `/${"a".repeat(65_536)}`,
];

/** These stay. */
const KEPT: readonly (readonly [string, string])[] = [
  ["/", "/"],
  ["/workspaces", "/workspaces"],
  ["/workspaces?filter=owner%3Ame#x", "/workspaces?filter=owner%3Ame#x"],
  ["/@alice/box/terminal?command=ls%20-l", "/@alice/box/terminal?command=ls%20-l"],
  ["/%2f%2fevil.example", "/%2f%2fevil.example"],
  ["/a//b", "/a//b"],
  [`/${"a".repeat(40_000)}`, `/${"a".repeat(40_000)}`],
  ["/login?redirect=//evil.example", "/login?redirect=//evil.example"],
  ["/../workspaces", "/workspaces"],
];

describe("S11: where a login leads", () => {
  it.each(REFUSED)("not to %j", (text) => expect(redirectTarget(text, ORIGIN)).toBeUndefined());
  it.each(KEPT)("%j stays on this origin", (text, path) => expect(redirectTarget(text, ORIGIN)).toBe(path));
  it("nowhere without one", () => expect(redirectTarget(null, ORIGIN)).toBeUndefined());
  it("and every target that is kept resolves to the origin itself", () => {
    for (const [text] of KEPT) expect(new URL(redirectTarget(text, ORIGIN)!, ORIGIN).origin).toBe(ORIGIN);
  });
});

it("the redirect is in the query, or in the fragment where it is too long for a request", () => {
  const query = new URLSearchParams({ redirect: "/a?b=c&d" });
  expect(redirectOf(query, "")).toBe("/a?b=c&d");
  expect(redirectOf(query, "#redirect=/other")).toBe("/a?b=c&d");
  expect(redirectOf(new URLSearchParams(), `#${query}`)).toBe("/a?b=c&d");
  expect(redirectOf(new URLSearchParams(), "")).toBeNull();
});
