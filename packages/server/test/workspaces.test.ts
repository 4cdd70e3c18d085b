import { get } from "node:http";
import {
  agentLogs,
  connectionInfo,
  containersResponse,
  externalAgentCredentials,
  listeningPortsResponse,
  workspaceAgent,
} from "coder-protocol/rest/agents";
import { SESSION_TOKEN_COOKIE, SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { organizations } from "coder-protocol/rest/organizations";
import { provisionerJob, template, templates, templateVersion } from "coder-protocol/rest/templates";
import {
  buildLog,
  EXTERNAL_AGENT_RESOURCE,
  workspaceBuild,
  workspace as workspaceSchema,
  workspacesResponse,
} from "coder-protocol/rest/workspaces";
import { expect, test } from "vitest";
import { MAX_AGENT_LOG_BYTES } from "../src/db/agent-logs.ts";
import { DEFAULT_LOG_SOURCE_ID } from "../src/workspaces/agent-state.ts";
import {
  addMember,
  addWorkspace,
  agentToken,
  firstUser,
  openSocket,
  openSocketOrFail,
  send,
  startServer,
} from "./helpers.ts";

const api = "/api/v2";

test("a workspace is registered and has the form that stock clients expect", async () => {
  await using test = await startServer();
  const { token, id } = await firstUser(test.url);
  const created = workspaceSchema.parse(await addWorkspace(test.url, token, "dev"));
  expect(created).toMatchObject({
    name: "dev",
    owner_id: id,
    owner_name: "ada",
    template_name: "external",
    outdated: false,
  });
  const build = created.latest_build;
  expect(build).toMatchObject({ build_number: 1, transition: "start", status: "running", reason: "initiator" });
  // Without it the CLI would follow a build that never ends.
  expect(build.job.completed_at).toBeDefined();
  expect(build.job.status).toBe("succeeded");
  expect(build.resources).toHaveLength(1);
  expect(build.resources[0]?.type).toBe(EXTERNAL_AGENT_RESOURCE);
  const agent = build.resources[0]?.agents?.[0];
  expect(agent).toMatchObject({ name: "main", status: "connecting", lifecycle_state: "created", parent_id: null });

  const byName = await send(test.url, "GET", `${api}/users/me/workspace/DEV?include_deleted=false`, { token });
  expect(byName.json.id).toBe(created.id);
  expect((await send(test.url, "GET", `${api}/users/ada/workspace/dev`, { token })).json.id).toBe(created.id);
  expect((await send(test.url, "GET", `${api}/users/${id}/workspace/dev`, { token })).json.id).toBe(created.id);
  expect((await send(test.url, "GET", `${api}/workspaces/${created.id}`, { token })).json.id).toBe(created.id);
  expect((await send(test.url, "GET", `${api}/users/me/workspace/nope`, { token })).status).toBe(404);
  const one = await send(test.url, "GET", `${api}/workspacebuilds/${build.id}`, { token });
  expect(workspaceBuild.parse(one.json).id).toBe(build.id);
  const numbered = await send(test.url, "GET", `${api}/users/me/workspace/dev/builds/1`, { token });
  expect(numbered.json.id).toBe(build.id);
  const row = workspaceAgent.parse(
    (await send(test.url, "GET", `${api}/workspaceagents/${agent?.id}`, { token })).json,
  );
  expect(row.id).toBe(agent?.id);

  const again = await send(test.url, "POST", `${api}/users/me/workspaces`, { token, body: { name: "Dev" } });
  expect(again.status).toBe(409);
  expect(again.json.validations).toEqual([{ field: "name", detail: expect.any(String) }]);
});

test("security 32: names that could change an ssh configuration or a shell line are refused", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const hostile = [
    "a b",
    "a\nProxyCommand x",
    "a%h",
    'a"b',
    "a'b",
    "$(id)",
    "-rf",
    "a--b",
    "../x",
    "a.b",
    "a/b",
    "",
    "x".repeat(33),
    "a;b",
    "名前",
  ];
  for (const name of hostile) {
    const answer = await send(test.url, "POST", `${api}/users/me/workspaces`, { token, body: { name } });
    expect([name, answer.status]).toEqual([name, 400]);
  }
  for (const agent_name of ["a b", "a\nb", "-x"]) {
    const body = { name: "fine", agent_name };
    expect((await send(test.url, "POST", `${api}/users/me/workspaces`, { token, body })).status).toBe(400);
  }
});

test("the requests that stock `create` sends first are answered", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const read = async (path: string) => (await send(test.url, "GET", `${api}${path}`, { token })).json;
  const [organization] = organizations.parse(await read("/users/me/organizations"));
  expect(organization?.is_default).toBe(true);
  for (const name of ["default", organization?.name, organization?.id]) {
    expect((await read(`/organizations/${name}`)).id).toBe(organization?.id);
  }
  const found = template.parse(await read(`/organizations/${organization?.id}/templates/external`));
  expect(templates.parse(await read(`/organizations/${organization?.id}/templates`))).toHaveLength(1);
  expect(templates.parse(await read("/templates"))[0]?.id).toBe(found.id);
  expect(template.parse(await read(`/templates/${found.id}`)).name).toBe("external");
  const version = templateVersion.parse(await read(`/templateversions/${found.active_version_id}`));
  expect(version.warnings).toEqual([]);
  expect(version.job.completed_at).toBeDefined();
  const resources = await read(`/templateversions/${version.id}/resources`);
  expect(resources.map((resource: { type: string }) => resource.type)).toEqual([EXTERNAL_AGENT_RESOURCE]);
  for (const list of ["rich-parameters", "external-auth", "presets"]) {
    expect(await read(`/templateversions/${version.id}/${list}`)).toEqual([]);
  }
  const dryRun = await send(test.url, "POST", `${api}/templateversions/${version.id}/dry-run`, {
    token,
    body: { workspace_name: "dev" },
  });
  expect(dryRun.status).toBe(201);
  const job = provisionerJob.parse(dryRun.json);
  expect(job.status).toBe("succeeded");
  const log = await openSocketOrFail(test.url, `${api}/templateversions/${version.id}/dry-run/${job.id}/logs?follow`, {
    Cookie: `${SESSION_TOKEN_COOKIE}=${token}`,
  });
  expect(await log.closed).toBe(1000);
  const body = { name: "dev", template_version_id: version.id, rich_parameter_values: null, ttl_ms: null };
  expect((await send(test.url, "POST", `${api}/users/me/workspaces`, { token, body })).status).toBe(201);
  const unknown = { name: "dev2", template_id: "00000000-0000-4000-8000-000000000000" };
  expect((await send(test.url, "POST", `${api}/users/me/workspaces`, { token, body: unknown })).status).toBe(400);
});

test("credentials show the agent's token and a line to run; rotating invalidates the old one", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const path = `${api}/workspaces/${workspace.id}/external-agent/main`;
  const shown = externalAgentCredentials.parse((await send(test.url, "GET", `${path}/credentials`, { token })).json);
  expect(shown.command).toContain(shown.agent_token);
  expect(shown.command).toContain(`${test.url}/api/v2/init-script/linux/amd64`);
  expect((await send(test.url, "GET", `${path}/credentials`, { token })).json.agent_token).toBe(shown.agent_token);
  const log = { created_at: "2026-01-01T00:00:00Z", output: "hello", level: "info" };
  const write = (agent: string) =>
    send(test.url, "PATCH", `${api}/workspaceagents/me/logs`, { token: agent, body: { logs: [log] } });
  expect((await write(shown.agent_token)).status).toBe(204);
  const rotated = await send(test.url, "POST", `${path}/rotate`, { token });
  expect(rotated.status).toBe(201);
  expect(rotated.json.agent_token).not.toBe(shown.agent_token);
  expect((await write(shown.agent_token)).status).toBe(401);
  expect((await write(rotated.json.agent_token)).status).toBe(204);
  expect((await send(test.url, "GET", `${path}/credentials`, { token })).json.agent_token).toBe(
    rotated.json.agent_token,
  );
  const missing = await send(test.url, "GET", `${api}/workspaces/${workspace.id}/external-agent/nope/credentials`, {
    token,
  });
  expect(missing.status).toBe(404);
  const script = await send(test.url, "GET", `${api}/init-script/linux/amd64`);
  expect(script.text).toContain(`BASE='${test.url}'`);
  expect(script.text).toContain("WITH_AGENT=yes");
  expect((await send(test.url, "GET", `${api}/init-script/plan9/mips`)).status).toBe(400);
});

test("security 4: after a stop or a deletion the agent's token is refused, after a start it is accepted again", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const agent = await agentToken(test.url, token, workspace.id);
  const events: string[] = [];
  test.server.parts.accessEvents.subscribe((event) => events.push(event.kind));
  const write = async () =>
    (await send(test.url, "PATCH", `${api}/workspaceagents/me/logs`, { token: agent, body: { logs: [] } })).status;
  const build = async (transition: string) => {
    const answer = await send(test.url, "POST", `${api}/workspaces/${workspace.id}/builds`, {
      token,
      body: { transition },
    });
    expect(answer.status).toBe(201);
    return workspaceBuild.parse(answer.json);
  };
  expect(await write()).toBe(204);
  const stopped = await build("stop");
  expect(stopped).toMatchObject({ build_number: 2, status: "stopped", resources: [] });
  expect(await write()).toBe(401);
  expect((await build("start")).status).toBe("running");
  expect(await write()).toBe(204);
  const deleted = await build("delete");
  expect(deleted).toMatchObject({ build_number: 4, status: "deleted" });
  expect(await write()).toBe(401);
  expect(events).toEqual(["workspace-stopped", "workspace-deleted"]);

  const gone = await send(test.url, "GET", `${api}/workspaces/${workspace.id}`, { token });
  expect(gone.status).toBe(410);
  const shown = await send(test.url, "GET", `${api}/workspaces/${workspace.id}?include_deleted=true`, { token });
  expect(workspaceSchema.parse(shown.json).latest_build.status).toBe("deleted");
  expect((await send(test.url, "GET", `${api}/users/me/workspace/dev`, { token })).status).toBe(404);
  expect((await send(test.url, "GET", `${api}/users/me/workspace/dev?include_deleted=true`, { token })).status).toBe(
    200,
  );
  // The CLI reads the build that deletes a workspace, and its log.
  expect((await send(test.url, "GET", `${api}/workspacebuilds/${deleted.id}`, { token })).status).toBe(200);
  const logs = await send(test.url, "GET", `${api}/workspacebuilds/${deleted.id}/logs`, { token });
  expect(buildLog.array().parse(logs.json)).toHaveLength(1);
  expect((await addWorkspace(test.url, token, "dev")).id).not.toBe(workspace.id);
  const history = await send(test.url, "GET", `${api}/workspaces/${workspace.id}/builds`, { token });
  expect(history.json.map((entry: { build_number: number }) => entry.build_number)).toEqual([4, 3, 2, 1]);
});

test("security 11: a member sees and reaches only their own workspaces, an owner all", async () => {
  await using test = await startServer();
  const owner = await firstUser(test.url);
  const bob = await addMember(test.url, owner.token, "bob");
  const carol = await addMember(test.url, owner.token, "carol");
  const workspace = await addWorkspace(test.url, bob.token, "secret");
  const agentId = workspace.latest_build.resources[0].agents[0].id;
  const buildId = workspace.latest_build.id;
  const reads = [
    `/workspaces/${workspace.id}`,
    `/workspaces/${workspace.id}?include_deleted=true`,
    `/workspaces/${workspace.id}/watch`,
    `/workspaces/${workspace.id}/builds`,
    `/workspaces/${workspace.id}/external-agent/main/credentials`,
    `/users/bob/workspace/secret`,
    `/users/${bob.id}/workspace/secret`,
    `/users/bob/workspace/secret/builds/1`,
    `/workspacebuilds/${buildId}`,
    `/workspacebuilds/${buildId}/logs`,
    `/workspaceagents/${agentId}`,
    `/workspaceagents/${agentId}/connection`,
    `/workspaceagents/${agentId}/logs`,
    `/workspaceagents/${agentId}/listening-ports`,
    `/workspaceagents/${agentId}/containers`,
  ];
  for (const path of reads) {
    expect([path, (await send(test.url, "GET", `${api}${path}`, { token: carol.token })).status]).toEqual([path, 404]);
  }
  const writes: [string, string, object][] = [
    ["POST", `/workspaces/${workspace.id}/builds`, { transition: "delete" }],
    ["POST", `/workspaces/${workspace.id}/usage`, {}],
    ["POST", `/workspaces/${workspace.id}/external-agent/main/rotate`, {}],
    ["PATCH", `/workspaces/${workspace.id}`, { name: "mine" }],
    ["POST", "/users/bob/workspaces", { name: "planted" }],
    ["POST", "/users/bob/keys/tokens", { token_name: "x" }],
    ["POST", "/users/bob/keys", {}],
  ];
  for (const [method, path, body] of writes) {
    expect([path, (await send(test.url, method, `${api}${path}`, { token: carol.token, body })).status]).toEqual([
      path,
      404,
    ]);
  }
  for (const path of [
    `/workspaces/${workspace.id}/watch-ws`,
    `/workspaceagents/${agentId}/logs?follow`,
    `/workspacebuilds/${buildId}/logs?follow`,
  ]) {
    expect(await openSocket(test.url, `${api}${path}`, { [SESSION_TOKEN_HEADER]: carol.token })).toMatchObject({
      status: 404,
    });
  }
  const list = async (token: string, q = "") =>
    (await send(test.url, "GET", `${api}/workspaces?q=${encodeURIComponent(q)}`, { token })).json.count;
  expect(await list(carol.token)).toBe(0);
  expect(await list(carol.token, "owner:bob")).toBe(0);
  expect(await list(bob.token)).toBe(1);
  expect(await list(owner.token)).toBe(1);
  expect(await list(owner.token, "owner:me")).toBe(0);
  expect((await send(test.url, "GET", `${api}/workspaces/${workspace.id}`, { token: owner.token })).status).toBe(200);

  const { authenticator, store } = test.server.parts;
  const rows = await Promise.all([owner.id, bob.id, carol.id].map((id) => store.users.byId(id)));
  const reaches = await Promise.all(
    rows.map((row) => (row === undefined ? undefined : authenticator.canReachAgent(row, agentId))),
  );
  expect(reaches.map((agent) => agent?.id)).toEqual([agentId, agentId, undefined]);
});

test("listings can be filtered and read page by page", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  for (const name of ["alpha", "beta", "alphabet"]) await addWorkspace(test.url, token, name);
  const beta = (await send(test.url, "GET", `${api}/users/me/workspace/beta`, { token })).json;
  await send(test.url, "POST", `${api}/workspaces/${beta.id}/builds`, { token, body: { transition: "stop" } });
  const names = async (query: string) => {
    const answer = await send(test.url, "GET", `${api}/workspaces?${query}`, { token });
    const body = workspacesResponse.parse(answer.json);
    return [body.count, ...body.workspaces.map((workspace) => workspace.name).sort()];
  };
  const q = (text: string) => names(`q=${encodeURIComponent(text)}`);
  expect(await q('owner:"me"')).toEqual([3, "alpha", "alphabet", "beta"]);
  expect(await q('owner:"me" name:"alpha"')).toEqual([2, "alpha", "alphabet"]);
  expect(await q("status:stopped")).toEqual([1, "beta"]);
  expect(await q("status:running alphabet")).toEqual([1, "alphabet"]);
  expect(await q("ada/bet")).toEqual([2, "alphabet", "beta"]);
  expect(await q("template:external has-external-agent:true")).toEqual([3, "alpha", "alphabet", "beta"]);
  expect(await q("template:docker")).toEqual([0]);
  expect(await q("has-agent:connecting")).toEqual([3, "alpha", "alphabet", "beta"]);
  expect(await q("owner:unknown")).toEqual([0]);
  expect(await names("q=&limit=1&offset=1")).toHaveLength(2);
  for (const bad of ["q=color%3Ablue", "limit=x", "offset=-1", "q=a%2Fb%2Fc"]) {
    expect((await send(test.url, "GET", `${api}/workspaces?${bad}`, { token })).status).toBe(400);
  }
});

test("heartbeats of many agents are written together, and do not revive departed agents", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const { agentState, store } = test.server.parts;
  const ids: string[] = [];
  for (const name of ["a", "b", "c", "d", "e"]) {
    const workspace = await addWorkspace(test.url, token, name);
    ids.push(workspace.latest_build.resources[0].agents[0].id);
  }
  const connectedAt = test.clock.now();
  await Promise.all(ids.map((id) => agentState.connected(id, "2.6", "c")));
  test.clock.advance(15_000);
  const heartbeats = Promise.all(ids.slice(0, 4).map((id) => agentState.heartbeat(id, "c")));
  test.clock.advance(100);
  await agentState.disconnected(ids[1]!, "c");
  await heartbeats;
  await agentState.disconnected(ids[2]!, "c");
  await agentState.heartbeat(ids[2]!, "c");
  const rows = await Promise.all(ids.map((id) => store.agents.byId(id)));
  expect(rows.map((row) => (row?.last_connected_at ?? 0) - connectedAt)).toEqual([15_000, 0, 15_000, 15_000, 0]);
  expect(rows.map((row) => row?.disconnected_at !== null)).toEqual([false, true, true, false, false]);
});

test("the agent's reports become its status", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const id = workspace.latest_build.resources[0].agents[0].id;
  const { agentState } = test.server.parts;
  const read = async () =>
    workspaceAgent.parse((await send(test.url, "GET", `${api}/workspaceagents/${id}`, { token })).json);
  test.clock.advance(121_000);
  expect(await read()).toMatchObject({ status: "timeout", health: { healthy: false } });
  await agentState.connected(id, "2.6", "c");
  await agentState.startup(id, { version: "v2.26.0", expandedDirectory: "/home/ada", subsystems: ["envbox"] });
  await agentState.lifecycle(id, "starting", test.clock.now());
  await agentState.lifecycle(id, "ready", test.clock.now());
  const ready = await read();
  expect(ready).toMatchObject({
    status: "connected",
    lifecycle_state: "ready",
    version: "v2.26.0",
    api_version: "2.6",
    expanded_directory: "/home/ada",
    subsystems: ["envbox"],
    health: { healthy: true },
  });
  expect(ready.first_connected_at).toBeDefined();
  expect(ready.started_at).toBeDefined();
  expect(ready.ready_at).toBeDefined();
  test.clock.advance(30_000);
  await agentState.heartbeat(id, "c");
  test.clock.advance(30_000);
  expect((await read()).status).toBe("connected");
  test.clock.advance(30_000);
  expect((await read()).status).toBe("disconnected");
  await agentState.heartbeat(id, "c");
  await agentState.disconnected(id, "c");
  expect(await read()).toMatchObject({
    status: "disconnected",
    health: { healthy: false, reason: "agent has lost connection" },
  });
  const view = workspaceSchema.parse(
    (await send(test.url, "GET", `${api}/workspaces/${workspace.id}`, { token })).json,
  );
  expect(view.health).toEqual({ healthy: false, failing_agents: [id] });
  const base = `${api}/workspaceagents/${id}`;
  expect(
    listeningPortsResponse.parse((await send(test.url, "GET", `${base}/listening-ports`, { token })).json).ports,
  ).toEqual([]);
  expect(
    containersResponse.parse((await send(test.url, "GET", `${base}/containers`, { token })).json).containers,
  ).toEqual([]);
  expect(
    connectionInfo.parse((await send(test.url, "GET", `${base}/connection`, { token })).json).hostname_suffix,
  ).toBe("coder");
});

test("agent logs are kept up to their limit, listed and followed", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const id = workspace.latest_build.resources[0].agents[0].id;
  const agent = await agentToken(test.url, token, workspace.id);
  const write = (outputs: string[]) =>
    send(test.url, "PATCH", `${api}/workspaceagents/me/logs`, {
      token: agent,
      body: { logs: outputs.map((output) => ({ created_at: "2026-01-01T00:00:00Z", output, level: "info" })) },
    });
  const source = await send(test.url, "POST", `${api}/workspaceagents/me/log-source`, {
    token: agent,
    body: { id: "5a5a5a5a-0000-4000-8000-000000000001", display_name: "Startup", icon: "" },
  });
  expect(source.status).toBe(201);
  await write(["one", "two"]);
  const follow = await openSocketOrFail(test.url, `${api}/workspaceagents/${id}/logs?follow&after=1&no_compression`, {
    Cookie: `${SESSION_TOKEN_COOKIE}=${token}`,
  });
  const next = async () =>
    agentLogs.parse(JSON.parse((await follow.next()) ?? "null")).map((log) => [log.id, log.output]);
  expect(await next()).toEqual([[2, "two"]]);
  await write(["three\0"]);
  expect(await next()).toEqual([[3, "three\u2400"]]);
  const all = agentLogs.parse((await send(test.url, "GET", `${api}/workspaceagents/${id}/logs`, { token })).json);
  expect(all.map((log) => log.id)).toEqual([1, 2, 3]);
  expect(all[0]?.source_id).toBe(DEFAULT_LOG_SOURCE_ID);
  expect((await send(test.url, "GET", `${api}/workspaceagents/${id}/logs?after=2`, { token })).json).toHaveLength(1);

  const big = "x".repeat(60_000);
  let status = 204;
  for (let i = 0; i < 40 && status === 204; i++) status = (await write([big])).status;
  expect(status).toBe(413);
  const row = await test.server.parts.store.agents.byId(id);
  expect(row?.logs_overflowed).toBe(1);
  expect(row?.logs_length).toBeLessThanOrEqual(MAX_AGENT_LOG_BYTES);
  expect((await write(["small"])).status).toBe(413);

  // Losing access ends the follower.
  await send(test.url, "POST", `${api}/workspaces/${workspace.id}/builds`, { token, body: { transition: "delete" } });
  expect(await follow.closed).toBe(1008);
});

test("watching by SSE sends the workspace now and after each change, and ends when it is deleted", async () => {
  await using test = await startServer();
  const watchersBefore = test.server.parts.changes.topicCount;
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const events = readEvents(`${test.url}${api}/workspaces/${workspace.id}/watch`, token);
  expect(await events.next()).toMatchObject({ value: { event: "ping", data: "" } });
  const statuses: string[] = [];
  const build = (transition: string) =>
    send(test.url, "POST", `${api}/workspaces/${workspace.id}/builds`, { token, body: { transition } });
  for (const transition of [undefined, "stop", "start", "delete"]) {
    if (transition !== undefined) await build(transition);
    const { value } = await events.next();
    expect(value?.event).toBe("data");
    statuses.push(workspaceSchema.parse(JSON.parse(value?.data ?? "")).latest_build.status);
  }
  expect(statuses).toEqual(["running", "stopped", "running", "deleted"]);
  expect((await events.next()).done).toBe(true);
  expect(test.server.parts.changes.topicCount).toBe(watchersBefore);
});

test("security 4: watchers end when their key is revoked", async () => {
  await using test = await startServer();
  const owner = await firstUser(test.url);
  const bob = await addMember(test.url, owner.token, "bob");
  const workspace = await addWorkspace(test.url, bob.token, "dev");
  const path = `${api}/workspaces/${workspace.id}/watch`;
  const { accessEvents } = test.server.parts;
  const listenersBefore = accessEvents.listenerCount;
  const sse = readEvents(`${test.url}${path}`, bob.token);
  await sse.next();
  const socket = await openSocketOrFail(test.url, `${path}-ws`, { [SESSION_TOKEN_HEADER]: bob.token });
  expect(JSON.parse((await socket.next()) ?? "")).toEqual({ type: "ping" });
  const data = JSON.parse((await socket.next()) ?? "");
  expect(data.type).toBe("data");
  expect(workspaceSchema.parse(data.data).id).toBe(workspace.id);
  await send(test.url, "POST", `${api}/users/logout`, { token: bob.token });
  expect(await socket.closed).toBe(1008);
  let last = await sse.next();
  while (last.done !== true) last = await sse.next();
  expect(accessEvents.listenerCount).toBe(listenersBefore);
});

test("a watch notices changes by time alone: a silent agent, then an expired login", async () => {
  await using test = await startServer({ deps: { limits: { recheckMs: 20 } } });
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id;
  await test.server.parts.agentState.connected(agentId, "2.6", "c");
  const headers = { [SESSION_TOKEN_HEADER]: token };
  const watch = await openSocketOrFail(test.url, `${api}/workspaces/${workspace.id}/watch-ws`, headers);
  const logs = await openSocketOrFail(test.url, `${api}/workspaceagents/${agentId}/logs?follow`, headers);
  const nextStatus = async () => {
    for (;;) {
      const event = JSON.parse((await watch.next()) ?? "{}");
      if (event.type === "data") return event.data.latest_build.resources[0].agents[0].status;
      expect(event.type).toBe("ping");
    }
  };
  expect(await nextStatus()).toBe("connected");
  test.clock.advance(60_000);
  expect(await nextStatus()).toBe("disconnected");
  test.clock.advance(25 * 3_600_000);
  expect(await watch.closed).toBe(1008);
  expect(await logs.closed).toBe(1008);
});

test("a client that sends on a watch socket is closed with 1002", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const socket = await openSocketOrFail(test.url, `${api}/workspaces/${workspace.id}/watch-ws`, {
    [SESSION_TOKEN_HEADER]: token,
  });
  socket.socket.send("hello");
  expect(await socket.closed).toBe(1002);
});

test("build logs are one line, as array and as WebSocket", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const path = `${api}/workspacebuilds/${workspace.latest_build.id}/logs`;
  const [line] = buildLog.array().parse((await send(test.url, "GET", path, { token })).json);
  expect((await send(test.url, "GET", `${path}?after=1`, { token })).json).toEqual([]);
  const socket = await openSocketOrFail(test.url, `${path}?follow&after=0`, {
    Cookie: `${SESSION_TOKEN_COOKIE}=${token}`,
  });
  expect(JSON.parse((await socket.next()) ?? "")).toEqual(line);
  expect(await socket.closed).toBe(1000);
});

test("the use of a workspace is recorded, and a workspace can be renamed", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const other = await addWorkspace(test.url, token, "other");
  const usage = (body: object) => send(test.url, "POST", `${api}/workspaces/${workspace.id}/usage`, { token, body });
  test.clock.advance(60_000);
  expect((await usage({})).status).toBe(204);
  const agentId = workspace.latest_build.resources[0].agents[0].id;
  expect((await usage({ agent_id: agentId, app_name: "ssh" })).status).toBe(204);
  expect((await usage({ agent_id: other.latest_build.resources[0].agents[0].id, app_name: "ssh" })).status).toBe(400);
  const after = (await send(test.url, "GET", `${api}/workspaces/${workspace.id}`, { token })).json;
  expect(Date.parse(after.last_used_at)).toBeGreaterThan(Date.parse(workspace.last_used_at));
  expect(
    (await send(test.url, "PATCH", `${api}/workspaces/${workspace.id}`, { token, body: { name: "other" } })).status,
  ).toBe(409);
  expect(
    (await send(test.url, "PATCH", `${api}/workspaces/${workspace.id}`, { token, body: { name: "new" } })).status,
  ).toBe(204);
  expect((await send(test.url, "GET", `${api}/users/me/workspace/new`, { token })).json.id).toBe(workspace.id);
});

async function* readEvents(url: string, token: string): AsyncGenerator<{ event: string; data: string }> {
  const response = await new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
    get(url, { headers: { [SESSION_TOKEN_HEADER]: token }, agent: false }, resolve).on("error", reject);
  });
  expect(response.headers["content-type"]).toBe("text/event-stream");
  let buffered = "";
  for await (const chunk of response) {
    buffered += String(chunk);
    for (let end = buffered.indexOf("\n\n"); end >= 0; end = buffered.indexOf("\n\n")) {
      const lines = buffered.slice(0, end).split("\n");
      buffered = buffered.slice(end + 2);
      const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
      yield { event: field("event"), data: field("data") };
    }
  }
}
