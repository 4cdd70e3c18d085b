import { expect, test } from "vitest";
import { parseWildcard, type Wildcard, wildcardHost, wildcardLabel, wildcardOrigin } from "./wildcard.ts";

function wildcard(text: string): Wildcard {
  const parsed = parseWildcard(text);
  if ("error" in parsed) throw new Error(parsed.error);
  return parsed;
}

test.each([
  ["*.apps.example.com", ".apps.example.com", undefined],
  ["*-apps.example.com", "-apps.example.com", undefined],
  ["*.Apps.Example.com:8443", ".apps.example.com", 8443],
  ["*.coder.localhost:3000", ".coder.localhost", 3000],
])("%s", (text, suffix, port) => {
  expect(wildcard(text)).toEqual({ pattern: text.toLowerCase(), suffix, port });
});

test.each([
  "*",
  "*.",
  "*.workspaces",
  "*.localhost",
  "*-apps",
  "apps.example.com",
  "x*.example.com",
  "*.*.example.com",
  "*apps.example.com",
  "*.apps..example.com",
  "*.apps.example.com.",
  "*.apps.example.com/",
  "https://*.apps.example.com",
  "*.apps.example.com:0",
  "*.apps.example.com:65536",
  "*.apps.example.com:",
  "*.-apps.example.com",
])("%s is refused", (text) => expect(parseWildcard(text)).toHaveProperty("error"));

test.each([
  ["*.apps.example.com", "a.apps.example.com", "a"],
  ["*.apps.example.com", "a.b.apps.example.com", undefined],
  ["*.apps.example.com", "apps.example.com", undefined],
  ["*.apps.example.com", ".apps.example.com", undefined],
  ["*.apps.example.com", "xapps.example.com", undefined],
  ["*.apps.example.com", "a.apps.example.com.evil.net", undefined],
  ["*.apps.example.com", "aXapps.example.com", undefined],
  ["*-apps.example.com", "a-apps.example.com", "a"],
  ["*-apps.example.com", "a.b-apps.example.com", undefined],
])("security S6: %s and the host %s", (pattern, host, label) => {
  expect(wildcardLabel(wildcard(pattern), host)).toBe(label);
});

test("scheme and port of an app are the access URL's, unless the pattern has a port", () => {
  const access = new URL("http://coder.localhost:3000");
  expect(wildcardOrigin(wildcard("*.coder.localhost"), "a", access)).toBe("http://a.coder.localhost:3000");
  expect(wildcardOrigin(wildcard("*.coder.localhost:4000"), "a", access)).toBe("http://a.coder.localhost:4000");
  expect(wildcardOrigin(wildcard("*.apps.example.com:443"), "a", new URL("https://coder.example.com"))).toBe(
    "https://a.apps.example.com",
  );
  expect(wildcardHost(wildcard("*.coder.localhost"), access)).toBe("*.coder.localhost:3000");
  expect(wildcardHost(wildcard("*.x.example.com:1"), access)).toBe("*.x.example.com:1");
});
