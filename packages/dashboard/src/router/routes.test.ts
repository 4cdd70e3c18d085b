import { expect, test } from "vitest";
import { matchRoute } from "./routes.ts";

test("an address leads to its page with its parameters", () => {
  const page = (path: string) => {
    const match = matchRoute(path);
    return match === undefined ? undefined : [match.route.page, match.params];
  };
  expect(page("/")).toEqual(["workspaces", {}]);
  expect(page("/workspaces")).toEqual(["workspaces", {}]);
  expect(page("/workspaces/")).toEqual(["workspaces", {}]);
  expect(page("/@alice/box")).toEqual(["workspace", { owner: "alice", workspace: "box" }]);
  expect(page("/%40alice/box")).toEqual(["workspace", { owner: "alice", workspace: "box" }]);
  expect(page("/@alice/box.main/terminal")).toEqual(["terminal", { owner: "alice", workspace: "box", agent: "main" }]);
  expect(page("/@alice/box/terminal")).toEqual(["terminal", { owner: "alice", workspace: "box" }]);
  expect(page("/@alice/box/settings")).toEqual(["workspace-settings", { owner: "alice", workspace: "box" }]);
});

test("what is not in the table is no page", () => {
  for (const path of ["/templates", "/@alice", "/@alice/b%20x", "/@/box", "/@alice/box/../x", "//", "/@a--b/c", ""]) {
    expect(matchRoute(path)).toBeUndefined();
  }
});
