import { expect, test } from "vitest";
import { deploymentRule, optionOf, USER_POLICIES, WORKSPACE_POLICIES } from "./policy-words.ts";

test('every policy of a workspace is an option of its own; a user\'s "any" decides nothing', () => {
  const policies = ["inherit", "any", "browser_only", undefined] as const;
  expect(policies.map((policy) => optionOf(WORKSPACE_POLICIES, policy))).toEqual([
    "inherit",
    "any",
    "browser_only",
    "inherit",
  ]);
  expect(policies.map((policy) => optionOf(USER_POLICIES, policy))).toEqual([
    "inherit",
    "inherit",
    "browser_only",
    "inherit",
  ]);
});

test("what the deployment decides is known by each spelling of its option", () => {
  for (const value of [undefined, "", "false", "no", "0"]) expect(deploymentRule(value)).toBeUndefined();
  expect(deploymentRule("default")).toContain("except in workspaces that are exempt");
  for (const value of ["true", "enforced", "1", "yes"]) expect(deploymentRule(value)).toContain("has no effect");
});
