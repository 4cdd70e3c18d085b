import fc from "fast-check";
import { expect, test } from "vitest";
import { parseWorkspaceQuery } from "./workspace-query.ts";

test("terms, quotes, bare words and owner/name", () => {
  expect(parseWorkspaceQuery('owner:"me" Status:Running  dev')).toMatchObject({
    owner: "me",
    status: "running",
    name: "dev",
  });
  expect(parseWorkspaceQuery('name:"a b"')).toMatchObject({ name: "a b" });
  expect(parseWorkspaceQuery("ada/dev has-external-agent:true")).toMatchObject({
    owner: "ada",
    name: "dev",
    nothing: false,
  });
  expect(parseWorkspaceQuery("")).toMatchObject({ owner: undefined, name: undefined });
});

test("invalid terms are reported", () => {
  expect(parseWorkspaceQuery("color:blue")).toEqual({ problem: '"color" is not a valid query param' });
  expect(parseWorkspaceQuery("owner:")).toEqual({ problem: '"owner" needs a value' });
  expect(parseWorkspaceQuery("a/b/c")).toEqual({ problem: '"a/b/c" has more than one "/"' });
  for (const bad of ["has-external-agent:maybe", "shared:yes", "id:dev", "last_used_after:yesterday", "healthy:"]) {
    expect(parseWorkspaceQuery(bad)).toHaveProperty("problem");
  }
  expect(parseWorkspaceQuery("x".repeat(3000))).toHaveProperty("problem");
});

test.each(["shared", "dormant", "is-dormant", "outdated", "has-ai-task"])("%s: no workspace here matches", (key) => {
  expect(parseWorkspaceQuery(`${key}:true`)).toMatchObject({ nothing: true });
  expect(parseWorkspaceQuery(`${key}:false`)).toMatchObject({ nothing: false });
});

test("other queries of stock clients", () => {
  expect(parseWorkspaceQuery("has-external-agent:false")).toMatchObject({ nothing: true });
  expect(parseWorkspaceQuery('param:"region=eu"')).toMatchObject({ nothing: true });
  expect(parseWorkspaceQuery("healthy:TRUE")).toMatchObject({ hasAgent: ["connected"] });
  expect(parseWorkspaceQuery("healthy:false")).toMatchObject({ hasAgent: ["disconnected", "timeout"] });
  expect(parseWorkspaceQuery("has-agent:connecting,connected")).toMatchObject({
    hasAgent: ["connecting", "connected"],
  });
  expect(parseWorkspaceQuery('last_used_before:"2026-01-31T23:59:59+01:00" organization:Coder')).toMatchObject({
    lastUsedBefore: Date.UTC(2026, 0, 31, 22, 59, 59),
    organization: "coder",
  });
});

test("the parser throws for no text", () => {
  fc.assert(fc.property(fc.string({ maxLength: 100 }), (text) => void parseWorkspaceQuery(text)));
});
