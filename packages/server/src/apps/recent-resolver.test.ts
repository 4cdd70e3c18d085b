import { expect, test } from "vitest";
import type { WallClock } from "../base/clock.ts";
import type { Store } from "../db/store.ts";
import { RecentResolver } from "./recent-resolver.ts";

const APP = {
  agent_id: "a",
  external: 0,
  url: "http://localhost:8080",
  level: "owner",
  host_header: "preserve",
  cors: "simple",
  cors_origins: "",
  also: "",
  identity_headers: 0,
};

test("an app below a path is looked up once within a second, and again after a change", async () => {
  const asked: string[] = [];
  const found =
    <Row>(what: string, row: Row) =>
    async (): Promise<Row> => {
      asked.push(what);
      return row;
    };
  const agent = { id: "a", name: "main", workspace_id: "w" };
  const store = {
    users: { byUsername: found("user", { id: "u", status: "active" }) },
    workspaces: { byOwnerAndName: found("workspace", { id: "w", deleted_at: null }) },
    agents: { byId: found("agent", agent), ofWorkspace: found("agents", [agent]) },
    apps: { find: found("app", APP) },
    builds: { latest: found("build", undefined) },
  } as unknown as Store;
  let now = 0;
  const resolver = new RecentResolver(
    store,
    { find: async () => undefined },
    { now: () => now } as WallClock,
    () => now,
  );
  const names = { owner: "ada", workspace: "dev", agent: undefined, slug: "code" };
  const [first, second] = await Promise.all([resolver.resolvePath(names), resolver.resolvePath(names)]);
  expect(first?.target.port).toBe(8080);
  expect(second).toBe(first);
  const once = asked.splice(0);
  expect(once.filter((what) => what === "user")).toHaveLength(2);
  await resolver.resolvePath(names);
  expect(asked).toEqual([]);
  resolver.forget();
  await resolver.resolvePath(names);
  expect(asked.splice(0)).toEqual(once);
  now = 1_000;
  await resolver.resolvePath(names);
  expect(asked).toEqual(once);
});
