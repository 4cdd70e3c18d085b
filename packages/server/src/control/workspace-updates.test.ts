import { expect, it } from "vitest";
import type { Store } from "../db/store.ts";
import { Changes } from "../workspaces/changes.ts";
import { WorkspaceUpdates } from "./workspace-updates.ts";

it("looks up the owner of a changed workspace once, however many followers there are", async () => {
  const asked: string[] = [];
  const store = {
    builds: { latestOf: async () => new Map() },
    agents: { ofWorkspaces: async () => [] },
    workspaces: {
      list: async () => [],
      byId: async (id: string) => {
        asked.push(id);
        return { owner_id: "0" };
      },
    },
  } as unknown as Store;
  const changes = new Changes();
  const updates = new WorkspaceUpdates(store, changes);
  const failures: unknown[] = [];
  const stops = Array.from({ length: 50 }, (_, i) =>
    updates.follow(String(i), { send: async () => undefined, failed: (error) => failures.push(error) }),
  );
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  await settled();
  changes.publish({ kind: "workspace", workspaceId: "a" });
  changes.publish({ kind: "workspace", workspaceId: "b" });
  await settled();
  expect(asked).toEqual(["a", "b"]);
  changes.publish({ kind: "workspace", workspaceId: "a" });
  await settled();
  expect(asked).toEqual(["a", "b", "a"]);
  for (const stop of stops) stop();
  expect([failures, changes.topicCount]).toEqual([[], 0]);
});
