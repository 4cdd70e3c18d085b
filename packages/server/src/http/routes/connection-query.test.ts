import { expect, test } from "vitest";
import { parseConnectionQuery } from "./connection-query.ts";

const none = { workspace: undefined, owner: undefined, type: undefined, action: undefined };

test.each([
  ["", none],
  ["  Dev ", { ...none, workspace: "dev" }],
  ["owner:Alice type:ssh action:connect web", { workspace: "web", owner: "alice", type: "ssh", action: "connect" }],
])("%j", (text, query) => expect(parseConnectionQuery(text)).toEqual(query));

test.each(["colour:red", "owner:", "action:stay", "x".repeat(501), "a:b:c"])("%j is refused", (text) =>
  expect(parseConnectionQuery(text)).toHaveProperty("problem"),
);
