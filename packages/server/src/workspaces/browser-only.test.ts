import type { BrowserOnlyBy, ConnectionPolicy } from "coder-protocol/rest/connection-policy";
import { expect, test } from "vitest";
import { type BrowserOnlySetting, browserOnlyBy } from "./browser-only.ts";

const POLICIES: readonly ConnectionPolicy[] = ["inherit", "any", "browser_only"];

test.each<[BrowserOnlySetting, (BrowserOnlyBy | undefined)[]]>([
  // Rows by the user's policy (inherit, any, browser_only), columns by the workspace's in the same order.
  ["off", [undefined, undefined, "workspace", undefined, undefined, "workspace", "user", "user", "user"]],
  ["default", ["deployment", undefined, "workspace", "deployment", undefined, "workspace", "user", "user", "user"]],
  ["enforced", Array.from({ length: 9 }, () => "deployment")],
])("browser-only mode of a deployment that says %s", (deployment, expected) => {
  const found = POLICIES.flatMap((user) => POLICIES.map((workspace) => browserOnlyBy({ deployment, user, workspace })));
  expect(found).toEqual(expected);
});
