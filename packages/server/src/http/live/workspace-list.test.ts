import { expect, test } from "vitest";
import type { AgentNetwork } from "../../control/agent-network.ts";
import type { AgentRow, UserRow, WorkspaceBuildRow, WorkspaceRow } from "../../db/schema.ts";
import { Changes } from "../../workspaces/changes.ts";
import { parseWorkspaceQuery, type WorkspaceQuery } from "../../workspaces/workspace-query.ts";
import { WorkspaceList, type WorkspaceListDeps } from "./workspace-list.ts";
import { WorkspaceOwners } from "./workspace-owners.ts";

const START = 1_000_000;
const query = parseWorkspaceQuery("") as WorkspaceQuery;

/** A list of `count` workspaces of "ada", each with a connected agent, and what was asked for it. */
function setUp(viewer: Pick<UserRow, "id" | "role">, count = 3) {
  let now = START;
  const asked: unknown[] = [];
  const stored = new Map<string, WorkspaceRow>();
  const add = (id: string, owner: string): void =>
    void stored.set(id, { id, name: id, owner_id: owner, last_used_at: 0 } as WorkspaceRow);
  for (let n = 0; n < count; n++) add(`w${n}`, "ada");
  const changes = new Changes();
  const networks: string[] = [];
  const deps: WorkspaceListDeps = {
    search: {
      visible: async (user, _query, among) => {
        asked.push(among ?? "all");
        const own = [...stored.values()].filter((row) => user.role === "owner" || row.owner_id === user.id);
        return among === undefined ? own : own.filter(({ id }) => among.includes(id));
      },
    },
    tables: {
      builds: {
        latestOf: async (ids: readonly string[]) =>
          new Map(ids.map((id) => [id, { transition: "start" } as WorkspaceBuildRow])),
      },
      users: { shownOf: async () => new Map([["ada", { username: "ada" }]]) },
      agents: {
        ofWorkspaces: async (ids: readonly string[]) =>
          ids.map((id) => ({ ...agent, id: `agent of ${id}`, workspace_id: id, last_connected_at: now })),
      },
    } as unknown as WorkspaceListDeps["tables"],
    owners: new WorkspaceOwners(async (id) => {
      asked.push(`owner of ${id}`);
      return stored.get(id)?.owner_id;
    }),
    changes,
    network: (id) => {
      networks.push(id);
      return { connections: { direct: 1, relayed: 0, unknown: 0 } } as AgentNetwork;
    },
    now: () => now,
  };
  const list = new WorkspaceList(deps, { user: viewer as UserRow, query, limit: 10 });
  let woken = 0;
  const leave = list.watch(() => void woken++);
  return {
    list,
    stored,
    add,
    leave,
    change: (workspaceId: string) => changes.publish({ kind: "workspace", workspaceId }),
    wait: (ms: number) => {
      now += ms;
    },
    takeAsked: () => asked.splice(0),
    takeNetworks: () => networks.splice(0),
    takeWoken: () => {
      const times = woken;
      woken = 0;
      return times;
    },
    settled: () => new Promise((resolve) => setImmediate(resolve)),
  };
}

const agent = { name: "main", first_connected_at: 1, disconnected_at: null, version: "1" } as AgentRow;
const ada = { id: "ada", role: "member" } as const;
const root = { id: "root", role: "owner" } as const;

test("after changes only what changed is read, in one question for all of it", async () => {
  for (const viewer of [ada, root]) {
    const { list, stored, add, change, takeAsked, takeNetworks, takeWoken, settled } = setUp(viewer);
    expect([...(await list.read()).keys()]).toEqual(["w0", "w1", "w2"]);
    expect([takeAsked(), takeNetworks().length]).toEqual([["all"], 3]);
    stored.set("w1", { ...stored.get("w1")!, name: "renamed" });
    stored.delete("w2");
    add("w3", "ada");
    for (const id of ["w1", "w2", "w3"]) change(id);
    await settled();
    expect(takeWoken()).toBe(3);
    takeAsked();
    const entries = await list.read();
    expect([...entries.keys()]).toEqual(["w0", "w1", "w3"]);
    expect(JSON.parse(entries.get("w1")!)).toMatchObject({ name: "renamed", owner_name: "ada" });
    expect([takeAsked(), takeNetworks()]).toEqual([[["w1", "w2", "w3"]], ["agent of w1", "agent of w3"]]);
  }
});

test("a change in a workspace of somebody else does not concern a member, and is looked up once for all", async () => {
  const { list, add, change, leave, takeAsked, takeWoken, settled } = setUp(ada);
  await list.read();
  takeAsked();
  add("foreign", "bob");
  for (let n = 0; n < 3; n++) {
    change("foreign");
    await settled();
  }
  expect([takeAsked(), takeWoken()]).toEqual([["owner of foreign"], 0]);
  // One that does not exist is read like a changed one, and its owner is asked for again.
  change("unknown");
  await settled();
  change("unknown");
  await settled();
  expect([takeAsked(), takeWoken()]).toEqual([["owner of unknown", "owner of unknown"], 2]);
  leave();
  change("w0");
  await settled();
  expect(takeWoken()).toBe(0);
});

test("paths are asked for again with time, and everything is read again after a while or many changes", async () => {
  const { list, change, wait, takeAsked, takeNetworks } = setUp(root, 5);
  await list.read();
  takeAsked();
  takeNetworks();
  await list.read();
  expect([takeAsked(), takeNetworks()]).toEqual([[], []]);
  wait(2_000);
  await list.read();
  expect([takeAsked(), takeNetworks().length]).toEqual([[], 5]);
  wait(13_000);
  await list.read();
  expect(takeAsked()).toEqual(["all"]);
  for (let n = 0; n < 65; n++) change(`x${n}`);
  await list.read();
  expect(takeAsked()).toEqual(["all"]);
});
