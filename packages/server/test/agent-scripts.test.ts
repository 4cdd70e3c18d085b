/** Scripts sent to an agent, and its reports about them, over the real control connection. */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Agent, Lifecycle_State, Log_Level, Timing_Status } from "coder-protocol/gen/agent_pb.js";
import { agentLogs, agentMetadata, workspaceAgent } from "coder-protocol/rest/agents";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import { z } from "zod";
import { MAX_AGENT_LOG_BYTES } from "../src/db/agent-logs.ts";
import { addMember, agentToken, firstUser, openSocket, openSocketOrFail, send, startServer } from "./helpers.ts";
import { dial } from "./peers.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";
const api = "/api/v2";

async function deployment() {
  const test = await startServer({
    flags: { "stun-address": "disable", "derp-server-stun-addresses": "disable" },
  });
  const owner = await firstUser(test.url);
  const created = await send(test.url, "POST", `${api}/users/me/workspaces`, {
    token: owner.token,
    body: {
      name: "dev",
      agent_motd_file: "/etc/motd",
      agent_scripts: [
        { display_name: "Start", script: "echo hi", run_on_start: true, start_blocks_login: true, timeout_seconds: 90 },
        { display_name: "Nightly", script: "true", cron: "0 0 * * *" },
      ],
      agent_metadata: [
        { key: "load", display_name: "Load", script: "uptime", interval_seconds: 10, timeout_seconds: 2 },
        { key: "disk", script: "df", interval_seconds: 60 },
      ],
    },
  });
  expect(created.status).toBe(201);
  const agentId: string = created.json.latest_build.resources[0].agents[0].id;
  const connection = await dial(test.url, await agentToken(test.url, owner.token, created.json.id), AGENT_RPC);
  const shown = async () =>
    workspaceAgent.parse(
      (await send(test.url, "GET", `${api}/workspaceagents/${agentId}`, { token: owner.token })).json,
    );
  return {
    ...test,
    owner,
    agentId,
    rpc: connection.rpc,
    shown,
    [Symbol.asyncDispose]: async () => {
      await connection.close();
      await test[Symbol.asyncDispose]();
    },
  };
}

test("scripts and metadata of the request come back in the manifest and in the agent's record", async () => {
  await using at = await deployment();
  const manifest = await at.rpc.unary(Agent.method.getManifest, {});
  expect(manifest.motdPath).toBe("/etc/motd");
  expect(manifest.scripts).toMatchObject([
    { displayName: "Start", script: "echo hi", runOnStart: true, runOnStop: false, startBlocksLogin: true, cron: "" },
    { displayName: "Nightly", runOnStart: false, cron: "0 0 * * *" },
  ]);
  expect(manifest.scripts[0]!.timeout?.seconds).toBe(90n);
  expect(manifest.metadata).toMatchObject([
    { key: "load", displayName: "Load", interval: { seconds: 10n }, timeout: { seconds: 2n } },
    { key: "disk", displayName: "disk", interval: { seconds: 60n }, timeout: { seconds: 0n } },
  ]);
  const agent = await at.shown();
  expect(agent.startup_script_behavior).toBe("blocking");
  expect(agent.scripts[0]).toMatchObject({ timeout: 90e9, display_name: "Start" });
  expect(agent.scripts[0]).not.toHaveProperty("status");
  expect(agent.log_sources.map(({ display_name }) => display_name).toSorted()).toEqual(["Agent", "Nightly", "Start"]);

  await at.rpc.unary(Agent.method.scriptCompleted, {
    timing: { scriptId: manifest.scripts[0]!.id, exitCode: 4, status: Timing_Status.EXIT_FAILURE },
  });
  await at.rpc.unary(Agent.method.scriptCompleted, { timing: { scriptId: new Uint8Array(16), exitCode: 9 } });
  await at.rpc.unary(Agent.method.scriptCompleted, {});
  expect((await at.shown()).scripts).toMatchObject([{ status: "exit_failure", exit_code: 4 }, { cron: "0 0 * * *" }]);
});

test("metadata can be watched with access to the agent: all of it now, and again after each report", async () => {
  await using at = await deployment();
  const path = `${api}/workspaceagents/${at.agentId}/watch-metadata-ws`;
  const watch = await openSocketOrFail(at.url, path, { [SESSION_TOKEN_HEADER]: at.owner.token });
  const next = async () => {
    for (;;) {
      const event = JSON.parse((await watch.next()) ?? "null");
      if (event?.type !== "ping") return z.array(agentMetadata).parse(event?.data);
    }
  };
  expect(await next()).toMatchObject([
    {
      result: { collected_at: "0001-01-01T00:00:00Z", age: 0, value: "", error: "" },
      description: { key: "load", display_name: "Load", script: "uptime", interval: 10, timeout: 2 },
    },
    { description: { key: "disk" } },
  ]);
  const collectedAt = timestampFromMs(at.clock.now() - 3_000);
  await at.rpc.unary(Agent.method.batchUpdateMetadata, {
    metadata: [
      { key: "load", result: { collectedAt, value: "0.5", error: "" } },
      { key: "disk", result: { collectedAt, value: `${"é".repeat(2_000)}`, error: "a\0b" } },
      { key: "not described", result: { collectedAt, value: "x" } },
    ],
  });
  const [load, disk, ...rest] = await next();
  expect(load!.result).toMatchObject({ value: "0.5", age: 3 });
  expect(disk!.result).toMatchObject({ value: "é".repeat(1_024), error: "a\u2400b" });
  expect(rest).toEqual([]);
  watch.socket.close();

  const stranger = await addMember(at.url, at.owner.token, "eve");
  expect(await openSocket(at.url, path, { [SESSION_TOKEN_HEADER]: stranger.token })).toMatchObject({ status: 404 });
  const stream = path.replace("-ws", "");
  expect((await send(at.url, "GET", stream, { token: stranger.token })).status).toBe(404);
  expect((await send(at.url, "GET", stream)).status).toBe(401);
});

test("last_used_at changes with sessions and connections, not with an idle agent", async () => {
  await using at = await deployment();
  const lastUsed = async () =>
    Date.parse(
      (await send(at.url, "GET", `${api}/users/me/workspace/dev`, { token: at.owner.token })).json.last_used_at,
    );
  const created = await lastUsed();
  at.clock.advance(60_000);
  await at.rpc.unary(Agent.method.updateStats, {});
  await at.rpc.unary(Agent.method.updateStats, { stats: { rxBytes: 100n } });
  expect(await lastUsed()).toBe(created);
  for (const stats of [{ sessionCountSsh: 1n }, { sessionCounts: { cursor: 1n } }, { connectionCount: 2n }]) {
    at.clock.advance(60_000);
    await at.rpc.unary(Agent.method.updateStats, { stats });
    expect(await lastUsed()).toBe(at.clock.now());
  }
  at.clock.advance(60_000);
  await at.rpc.unary(Agent.method.reportConnection, { connection: { ip: "fd7a:115c:a1e0::1" } });
  expect(await lastUsed()).toBe(at.clock.now());
});

test("every run of the agent has the whole log limit, and ids are never reused", async () => {
  await using at = await deployment();
  const base = at.clock.now();
  const write = async (atMs: number, output: string): Promise<boolean> => {
    const logs = [{ createdAt: timestampFromMs(atMs), output, level: Log_Level.INFO }];
    return (await at.rpc.unary(Agent.method.batchCreateLogs, { logs })).logLimitExceeded;
  };
  const starting = (atMs: number) =>
    at.rpc.unary(Agent.method.updateLifecycle, {
      lifecycle: { state: Lifecycle_State.STARTING, changedAt: timestampFromMs(atMs) },
    });
  await starting(base);
  expect(await write(base + 1, "x".repeat(MAX_AGENT_LOG_BYTES - 10))).toBe(false);
  expect(await write(base + 2, "too much for it")).toBe(true);
  expect(await write(base + 3, "y")).toBe(true);
  // The first line of the next run may arrive before the report of its start.
  await at.rpc.unary(Agent.method.updateLifecycle, { lifecycle: { state: Lifecycle_State.OFF } });
  await starting(base + 10);
  expect(await write(base + 11, "again")).toBe(false);
  await starting(base + 11);
  const logs = agentLogs.parse(
    (await send(at.url, "GET", `${api}/workspaceagents/${at.agentId}/logs`, { token: at.owner.token })).json,
  );
  expect(logs.map(({ id, output }) => [id, output])).toEqual([[2, "again"]]);
  expect(await at.shown()).toMatchObject({ logs_length: 5, logs_overflowed: false, lifecycle_state: "starting" });
});

test("a request with scripts is validated like any other", async () => {
  await using at = await startServer();
  const { token } = await firstUser(at.url);
  const ask = async (body: Record<string, unknown>) =>
    (await send(at.url, "POST", `${api}/users/me/workspaces`, { token, body: { name: "dev", ...body } })).status;
  const described = { key: "a", script: "true", interval_seconds: 1 };
  expect(await ask({ agent_metadata: [described, described] })).toBe(400);
  expect(await ask({ agent_metadata: [{ ...described, interval_seconds: -1 }] })).toBe(400);
  expect(await ask({ agent_scripts: [{ display_name: "x", script: "" }] })).toBe(400);
  expect(await ask({ agent_scripts: [{ display_name: "x", script: "y".repeat(70_000) }] })).toBe(400);
  expect(await ask({ agent_scripts: Array.from({ length: 33 }, () => ({ display_name: "x", script: "y" })) })).toBe(
    400,
  );
  expect(await ask({ agent_scripts: [], agent_metadata: [] })).toBe(201);
});
