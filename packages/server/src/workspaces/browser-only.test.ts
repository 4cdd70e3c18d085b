import type { BrowserOnlyBy, BrowserOnlyRule, ConnectionPolicy } from "coder-protocol/rest/connection-policy";
import { expect, test } from "vitest";
import { browserOnlyBy, stricter } from "./browser-only.ts";

const POLICIES: readonly ConnectionPolicy[] = ["inherit", "any", "browser_only"];

test.each<[BrowserOnlyRule, (BrowserOnlyBy | undefined)[]]>([
  // Rows by the user's policy (inherit, any, browser_only), columns by the workspace's in the same order.
  ["off", [undefined, undefined, "workspace", undefined, undefined, "workspace", "user", "user", "user"]],
  ["default", ["deployment", undefined, "workspace", "deployment", undefined, "workspace", "user", "user", "user"]],
  ["enforced", Array.from({ length: 9 }, () => "deployment")],
])("browser-only mode of a deployment that says %s", (deployment, expected) => {
  const found = POLICIES.flatMap((user) => POLICIES.map((workspace) => browserOnlyBy({ deployment, user, workspace })));
  expect(found).toEqual(expected);
});

test("of the rule that a server was started with and the one that owners set, the stricter one holds", () => {
  const rules: readonly BrowserOnlyRule[] = ["off", "default", "enforced"];
  const held = rules.map((started) => rules.map((set) => stricter(started, set)));
  expect(held).toEqual([
    ["off", "default", "enforced"],
    ["default", "default", "enforced"],
    ["enforced", "enforced", "enforced"],
  ]);
});
