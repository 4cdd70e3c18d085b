/** Listings load the data of all their rows together: the number of queries does not depend on the number of rows. */
import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { WorkspaceUpdates } from "../src/control/workspace-updates.ts";
import type { Tables } from "../src/db/store.ts";
import { firstUser, send, startServer } from "./helpers.ts";

const api = "/api/v2";

/** A user with one running workspace, its agent with a script and a log source, and an API token. */
async function insertOne({ users, workspaces, builds, agents, agentLogs, agentScripts, apiKeys }: Tables, n: number) {
  const now = Date.now();
  const [userId, workspaceId, agentId] = [randomUUID(), randomUUID(), randomUUID()];
  await users.insert({
    id: userId,
    email: `user${n}@example.com`,
    username: `user${n}`,
    name: "",
    password_hash: "",
    role: "member",
    status: "active",
    created_at: now,
    updated_at: now,
    last_seen_at: null,
    deleted_at: null,
  });
  await apiKeys.insert({
    id: `key${n}`,
    user_id: userId,
    secret_hash: "",
    login_type: "token",
    scope: "all",
    token_name: "t",
    lifetime_seconds: 60,
    created_at: now,
    updated_at: now,
    last_used: now,
    expires_at: now + 3_600_000,
  });
  await workspaces.insert({
    id: workspaceId,
    owner_id: userId,
    name: `ws${n}`,
    ttl_ms: null,
    autostart_schedule: null,
    created_at: now,
    updated_at: now,
    last_used_at: now,
  });
  await builds.append({
    id: randomUUID(),
    workspace_id: workspaceId,
    transition: "start",
    reason: "initiator",
    initiator_id: userId,
    created_at: now,
    completed_at: now,
  });
  await agents.insert({
    id: agentId,
    workspace_id: workspaceId,
    resource_id: randomUUID(),
    name: "main",
    token_generation: 1,
    token_hash: agentId,
    operating_system: "linux",
    architecture: "amd64",
    directory: "",
    motd_file: "",
    connection_timeout_seconds: 120,
    created_at: now,
    updated_at: now,
    first_connected_at: null,
    last_connected_at: null,
    disconnected_at: null,
    lifecycle_state: "created",
    started_at: null,
    ready_at: null,
    version: "",
    api_version: "",
    expanded_directory: "",
    subsystems: "[]",
    logs_length: 0,
    logs_overflowed: 0,
  });
  const sourceId = randomUUID();
  await agentLogs.addSource({ agent_id: agentId, id: sourceId, display_name: `source${n}`, icon: "", created_at: now });
  await agentScripts.insert([
    {
      id: randomUUID(),
      agent_id: agentId,
      position: 0,
      log_source_id: sourceId,
      display_name: `script${n}`,
      log_path: "",
      script: "true",
      cron: "",
      run_on_start: 1,
      run_on_stop: 0,
      start_blocks_login: 0,
      timeout_seconds: 1,
      last_started_at: null,
      last_ended_at: null,
      last_exit_code: null,
      last_stage: null,
      last_status: null,
    },
  ]);
}

/** The server also sends queries at intervals, which may fall into a request; they do not fall into each of so many. */
const REPETITIONS = 5;

const LISTINGS: readonly [string, (body: never) => number][] = [
  [`${api}/workspaces`, ({ workspaces }: { workspaces: unknown[] }) => workspaces.length],
  [
    `${api}/workspaces?q=${encodeURIComponent("status:running has-agent:connecting")}`,
    ({ workspaces }: { workspaces: unknown[] }) => workspaces.length,
  ],
  [`${api}/users`, ({ users }: { users: unknown[] }) => users.length],
  [`${api}/users/me/keys/tokens?include_all=true`, (tokens: unknown[]) => tokens.length],
];

test("10 rows and 1,000 rows need the same queries", async () => {
  const queries: string[] = [];
  await using at = await startServer({ deps: { onQuery: (sql) => void queries.push(sql) } });
  const { token } = await firstUser(at.url);
  const { store, changes } = at.server.parts;
  const fill = (from: number, to: number) =>
    store.transaction(async (tables) => {
      for (let n = from; n < to; n++) await insertOne(tables, n);
    });
  const fewestQueries = async (run: () => Promise<void>): Promise<number> => {
    const counts: number[] = [];
    for (let i = 0; i < REPETITIONS; i++) {
      queries.length = 0;
      await run();
      counts.push(queries.length);
    }
    return Math.min(...counts);
  };
  const measure = async () => {
    const counts: Record<string, { rows: number; queries: number }> = {};
    for (const [path, rowsOf] of LISTINGS) {
      let rows = 0;
      const fewest = await fewestQueries(async () => {
        const answer = await send(at.url, "GET", path, { token });
        expect(answer.status).toBe(200);
        rows = rowsOf(answer.json as never);
      });
      counts[path] = { rows, queries: fewest };
    }
    const [user] = (await store.users.list({ search: "user1", limit: 1, offset: 0 })).users;
    const fewest = await fewestQueries(
      () =>
        new Promise<void>((resolve, reject) => {
          const stop = new WorkspaceUpdates(store, changes).follow(user!.id, {
            send: async () => {
              stop();
              resolve();
            },
            failed: reject,
          });
        }),
    );
    counts["updates"] = { rows: 0, queries: fewest };
    return counts;
  };

  await fill(0, 9);
  const few = await measure();
  await fill(9, 999);
  const many = await measure();
  for (const [path] of LISTINGS) {
    expect(few[path]!.rows).toBeLessThanOrEqual(10);
    expect(many[path]!.rows).toBeGreaterThanOrEqual(999);
  }
  const countsOf = (all: typeof few) => Object.entries(all).map(([path, { queries: count }]) => [path, count]);
  expect(countsOf(many)).toEqual(countsOf(few));

  // The loaded data belong to the right rows.
  const { workspaces } = (await send(at.url, "GET", `${api}/workspaces?q=ws731`, { token })).json;
  expect(workspaces).toHaveLength(1);
  expect(workspaces[0]).toMatchObject({ name: "ws731", owner_name: "user731" });
  const [agent] = workspaces[0].latest_build.resources[0].agents;
  expect(agent.log_sources.map((source: { display_name: string }) => source.display_name)).toEqual([
    "Agent",
    "source731",
  ]);
  expect(agent.scripts.map((script: { display_name: string }) => script.display_name)).toEqual(["script731"]);
});
