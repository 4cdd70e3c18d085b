import { expect, test } from "vitest";
import {
  DEPLOYMENT_RULES,
  deploymentRule,
  optionOf,
  startedWithRule,
  USER_POLICIES,
  WORKSPACE_POLICIES,
} from "./policy-words.ts";

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

test("a rule of the deployment is said where it decides something", () => {
  expect([deploymentRule("off"), startedWithRule("off")]).toEqual([undefined, undefined]);
  expect(deploymentRule("default")).toContain("except in workspaces that are exempt");
  expect(deploymentRule("enforced")).toContain("has no effect");
  expect(startedWithRule("default")).toContain("--browser-only=default");
  expect(startedWithRule("enforced")).toContain("has no effect");
  expect(DEPLOYMENT_RULES.map(({ policy }) => policy)).toEqual(["off", "default", "enforced"]);
});
