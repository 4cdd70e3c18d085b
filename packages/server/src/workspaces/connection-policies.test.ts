import { expect, test } from "vitest";
import type { Store } from "../db/store.ts";
import { Changes } from "./changes.ts";
import { ConnectionPolicies, type ConnectionPoliciesOptions } from "./connection-policies.ts";

test("decisions share a reading of the rule, until it is a second old, is set anywhere, or ends tunnels", async () => {
  let [stored, reads, now] = ["default", 0, 0];
  const read = async () => {
    reads++;
    return stored;
  };
  const changes = new Changes();
  const policies = new ConnectionPolicies({
    startedWith: "off",
    store: { settings: { read }, agents: { idsByConnectionPolicy: async () => ["exempt"] } } as unknown as Store,
    changes,
    monotonicNow: () => now,
  } as ConnectionPoliciesOptions);
  expect([await policies.rule(), await policies.rule(), reads]).toEqual(["default", "default", 1]);
  now = 1_000;
  expect([await policies.rule(), reads]).toEqual(["default", 2]);
  stored = "enforced";
  changes.publish({ kind: "connection-rule" });
  expect([await policies.rule(), reads]).toEqual(["enforced", 3]);
  stored = "default";
  expect([await policies.exemptAgents(), await policies.rule(), reads]).toEqual([new Set(["exempt"]), "default", 4]);
  stored = "off";
  expect([await policies.exemptAgents(), reads]).toEqual([undefined, 5]);
  stored = "of a later release";
  expect(await policies.exemptAgents()).toEqual(new Set());
});
