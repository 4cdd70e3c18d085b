import fc from "fast-check";
import { expect, test } from "vitest";
import { parseWorkspaceQuery } from "./workspace-search.ts";

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
    hasExternalAgent: true,
  });
  expect(parseWorkspaceQuery("")).toMatchObject({ owner: undefined, name: undefined });
});

test("what cannot be used is said", () => {
  expect(parseWorkspaceQuery("color:blue")).toEqual({ problem: '"color" is not a valid query param' });
  expect(parseWorkspaceQuery("owner:")).toEqual({ problem: '"owner" needs a value' });
  expect(parseWorkspaceQuery("a/b/c")).toEqual({ problem: '"a/b/c" has more than one "/"' });
  expect(parseWorkspaceQuery("has-external-agent:maybe")).toHaveProperty("problem");
  expect(parseWorkspaceQuery("x".repeat(3000))).toHaveProperty("problem");
});

test("no text makes the parser throw", () => {
  fc.assert(fc.property(fc.string({ maxLength: 100 }), (text) => void parseWorkspaceQuery(text)));
});
