/** The streams that clients follow: what comes first, what keeps them alive, and that they end with the server. */
import { get, type IncomingMessage } from "node:http";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import type { HttpLimits } from "../src/http/limits.ts";
import { addWorkspace, firstUser, openSocketOrFail, type SocketReader, send, startServer } from "./helpers.ts";

const api = "/api/v2";

async function deployment(limits: Partial<HttpLimits> = {}) {
  const test = await startServer({ deps: { limits } });
  const { token } = await firstUser(test.url);
  const created = await send(test.url, "POST", `${api}/users/me/workspaces`, {
    token,
    body: { name: "dev", agent_metadata: [{ key: "load", script: "uptime", interval_seconds: 10 }] },
  });
  return {
    ...test,
    token,
    headers: { [SESSION_TOKEN_HEADER]: token },
    workspaceId: created.json.id as string,
    agentId: created.json.latest_build.resources[0].agents[0].id as string,
    buildId: created.json.latest_build.id as string,
  };
}

async function json(reader: SocketReader) {
  return JSON.parse((await reader.next()) ?? "null");
}

const pinged = (reader: SocketReader): Promise<void> =>
  new Promise((resolve) => reader.socket.once("ping", () => resolve()));

test("metadata: the first message is data, which is repeated without a change, and heartbeats are frames", async () => {
  await using at = await deployment({ repeatMetadataMs: 20, recheckMs: 20, heartbeatMs: 500 });
  const watch = await openSocketOrFail(at.url, `${api}/workspaceagents/${at.agentId}/watch-metadata-ws`, at.headers);
  const heartbeat = pinged(watch);
  for (let i = 0; i < 5; i++) {
    const event = await json(watch);
    expect(event).toMatchObject({ type: "data", data: [{ description: { key: "load" } }] });
  }
  await heartbeat;
  watch.socket.close();
});

test("a workspace by WebSocket: one JSON ping, then data; heartbeats are frames", async () => {
  await using at = await deployment({ recheckMs: 10, heartbeatMs: 500 });
  const watch = await openSocketOrFail(at.url, `${api}/workspaces/${at.workspaceId}/watch-ws`, at.headers);
  expect(await json(watch)).toEqual({ type: "ping" });
  expect((await json(watch)).type).toBe("data");
  await pinged(watch);
  // After many checks of access, only the next change has been sent.
  await send(at.url, "POST", `${api}/workspaces/${at.workspaceId}/builds`, {
    token: at.token,
    body: { transition: "stop" },
  });
  expect(await json(watch)).toMatchObject({ type: "data", data: { latest_build: { status: "stopped" } } });
  watch.socket.close();
});

test("logs: followers of an agent without logs get an empty array at once, those of a build its line", async () => {
  await using at = await deployment({ heartbeatMs: 300 });
  const logs = await openSocketOrFail(at.url, `${api}/workspaceagents/${at.agentId}/logs?follow`, at.headers);
  expect(await json(logs)).toEqual([]);
  await pinged(logs);
  logs.socket.close();
  const build = await openSocketOrFail(at.url, `${api}/workspacebuilds/${at.buildId}/logs?follow`, at.headers);
  expect(await json(build)).toMatchObject({ id: 1, log_source: "provisioner" });
  expect(await build.closed).toBe(1000);
});

function openEvents(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(url, { headers, agent: false }, resolve).on("error", reject);
  });
}

/** The names of the first events. */
async function eventNames(response: IncomingMessage, count: number): Promise<string[]> {
  let text = "";
  for await (const chunk of response) {
    text += String(chunk);
    const names = [...text.matchAll(/^event: (.*)\n/gm)].map((match) => match[1] ?? "");
    if (names.length >= count) return names.slice(0, count);
  }
  return [];
}

test("event streams: ping and data for a workspace, data for metadata; pings are events here", async () => {
  await using at = await deployment({ recheckMs: 50 });
  const workspace = await openEvents(`${at.url}${api}/workspaces/${at.workspaceId}/watch`, at.headers);
  expect(await eventNames(workspace, 3)).toEqual(["ping", "data", "ping"]);
  const metadata = await openEvents(`${at.url}${api}/workspaceagents/${at.agentId}/watch-metadata`, at.headers);
  expect(await eventNames(metadata, 2)).toEqual(["data", "ping"]);
});

test.each(["workspaces/W/watch", "workspaceagents/A/watch-metadata"])(
  "when the server stops, %s ends without a forced close",
  async (path) => {
    const at = await deployment();
    const url = `${at.url}${api}/${path.replace("W", at.workspaceId).replace("A", at.agentId)}`;
    const response = await openEvents(url, at.headers);
    const cut = new Promise<boolean>((resolve) => response.once("close", () => resolve(!response.complete)));
    response.resume();
    expect(at.server.parts.streams.size).toBe(1);
    await at[Symbol.asyncDispose]();
    expect(await cut).toBe(false);
    expect(at.server.parts.streams.size).toBe(0);
  },
);

test("more event streams than the limit get 503", async () => {
  await using at = await deployment({ eventStreams: { total: 1 } });
  const path = `${api}/workspaces/${at.workspaceId}/watch`;
  const first = await openEvents(`${at.url}${path}`, at.headers);
  const second = await send(at.url, "GET", path, { token: at.token });
  expect(second.status).toBe(503);
  expect(second.headers["retry-after"]).toBe("10");
  first.destroy();
});

test("an agent belongs to a build: after a start it is waited for, and times out", async () => {
  await using at = await startServer({ deps: { unstatedLifecycleMs: 20 } });
  const { token } = await firstUser(at.url);
  const workspace = await addWorkspace(at.url, token, "dev");
  const id = workspace.latest_build.resources[0].agents[0].id;
  const { agentState } = at.server.parts;
  const build = (transition: string) =>
    send(at.url, "POST", `${api}/workspaces/${workspace.id}/builds`, { token, body: { transition } });
  const read = async () => (await send(at.url, "GET", `${api}/workspaceagents/${id}`, { token })).json;
  await agentState.connected(id, "2.6", "c");
  await agentState.lifecycle(id, "starting", at.clock.now());
  await agentState.lifecycle(id, "ready", at.clock.now());
  at.clock.advance(1_000);
  await build("start"); // the workspace is already running, so nothing changes for its agent
  expect(await read()).toMatchObject({ status: "connected", lifecycle_state: "ready" });

  at.clock.advance(600_000);
  await build("stop");
  at.clock.advance(600_000);
  const started = await build("start");
  const awaited = { status: "connecting", lifecycle_state: "created", health: { healthy: true } };
  expect(started.json.resources[0].agents[0]).toMatchObject(awaited);
  // The old session's end and its last heartbeat are stored late.
  await agentState.heartbeat(id, "c");
  await agentState.disconnected(id, "c");
  expect(await read()).toMatchObject(awaited);
  for (const field of ["first_connected_at", "last_connected_at", "disconnected_at", "started_at", "ready_at"]) {
    expect(await read()).not.toHaveProperty(field);
  }
  at.clock.advance(119_000);
  expect((await read()).status).toBe("connecting");
  at.clock.advance(2_000);
  expect(await read()).toMatchObject({ status: "timeout", health: { healthy: false } });
  await agentState.connected(id, "2.6", "c");
  expect(await read()).toMatchObject({ status: "connected", lifecycle_state: "created" });
  await agentState.lifecycle(id, "starting", at.clock.now());
  expect(await read()).toMatchObject({ status: "connected", lifecycle_state: "starting" });
});

test("an agent whose process outlived stop and start, and reports no lifecycle again, is ready", async () => {
  await using at = await startServer({ deps: { unstatedLifecycleMs: 20 } });
  const { token } = await firstUser(at.url);
  const workspace = await addWorkspace(at.url, token, "dev");
  const id = workspace.latest_build.resources[0].agents[0].id;
  const { agentState } = at.server.parts;
  const watch = await openSocketOrFail(at.url, `${api}/workspaces/${workspace.id}/watch-ws`, {
    [SESSION_TOKEN_HEADER]: token,
  });
  await agentState.connected(id, "2.6", "c");
  await agentState.startup(id, { version: "v2.26.0", expandedDirectory: "/home/ada", subsystems: [] });
  for (;;) {
    const event = await json(watch);
    if (event.type === "data" && event.data.latest_build.resources[0].agents[0].lifecycle_state === "ready") break;
  }
  // An agent that reports its lifecycle is believed.
  await agentState.startup(id, { version: "v2.26.0", expandedDirectory: "/home/ada", subsystems: [] });
  await agentState.lifecycle(id, "start_error", at.clock.now());
  expect((await send(at.url, "GET", `${api}/workspaceagents/${id}`, { token })).json.lifecycle_state).toBe(
    "start_error",
  );
  watch.socket.close();
});
