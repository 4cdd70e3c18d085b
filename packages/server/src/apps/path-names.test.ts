import { expect, test } from "vitest";
import { parseAppPath } from "./path-names.ts";

const names = { owner: "ada", workspace: "dev", agent: undefined, slug: "code" };

test.each([
  ["/@ada/dev/apps/code/", { names, rest: "/", query: "" }],
  ["/%40ada/dev/apps/code/x?y=1", { names, rest: "/x?y=1", query: "" }],
  ["/@ada/dev.main/apps/code/", { names: { ...names, agent: "main" }, rest: "/", query: "" }],
  ["/@ada/dev/apps/code", { names, rest: undefined, query: "" }],
  ["/@ada/dev/apps/code?folder=/x/y", { names, rest: undefined, query: "?folder=/x/y" }],
  ["/@ada/dev/apps/code/../../%2e%2e/%2f//a;b%00", { names, rest: "/../../%2e%2e/%2f//a;b%00", query: "" }],
])("%s is an app, and its rest stays as it came", (target, expected) => {
  expect(parseAppPath(target)).toMatchObject({ kind: "app", ...expected });
});

test.each(["/@ada/dev/apps/3000/", "/@ada/dev/apps/8443s", "/@ada/dev.main/apps/080/"])("%s is a port", (target) => {
  expect(parseAppPath(target)).toEqual({ kind: "port" });
});

test("security S19: a path that could be read in two ways is no app", () => {
  for (const target of [
    "/@ada/../apps/code/",
    "/@ada/%2e%2e/apps/code/",
    "/@../dev/apps/code/",
    "/@ada%2fdev/x/apps/code/",
    "/@ada/dev%5cx/apps/code/",
    "/@ada/dev;x/apps/code/",
    "/@ada//apps/code/",
    "/@/dev/apps/code/",
    "/@ada/dev/apps/",
    "/@ada/dev/apps",
    "/@ada/dev/apps//code/",
    "/@ada/dev/apps/../code/",
    "/@ada/dev/apps/code%2f..%2fother/",
    "/@ada/dev/apps/code;v=1/",
    "/@ada/dev/apps/co%64e/",
    "/@ada/dev.a.b/apps/code/",
    "/@ada/dev./apps/code/",
    "/@ada/dev/apps/a--b/",
    `/@ada/dev/apps/${"x".repeat(33)}/`,
    "/@ada/dev/apps/code#x",
    "/@ada/dev/APPS/x%00",
  ])
    expect([target, parseAppPath(target)?.kind]).toEqual([target, "malformed"]);
});

test('"me" is not an owner, and other paths are not apps', () => {
  expect(parseAppPath("/@me/dev/apps/code/")).toEqual({ kind: "me" });
  for (const target of [
    "/",
    "/@ada/dev",
    "/@ada/dev/terminal",
    "/@ada/dev/appstore/",
    "/apps/x/",
    "*",
    "//@ada/dev/apps/x/",
  ])
    expect([target, parseAppPath(target)]).toEqual([target, undefined]);
});
