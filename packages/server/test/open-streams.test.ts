/** When the server stops, every stream ends properly, and none has to be destroyed. */
import { get, request as httpRequest, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { PROXY_COORDINATE_PATH } from "coder-protocol/rest/proxy-apps";
import { PROXY_RELAY_KEYS_PATH, PROXY_TOKEN_HEADER } from "coder-protocol/rest/workspace-proxies";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { addWorkspace, agentToken, firstUser, startServer } from "./helpers.ts";
import { createOtherProxy } from "./proxies.ts";

const api = "/api/v2";

interface Opened {
  /** Resolves when the stream is over, with whether it ended properly. */
  readonly ended: Promise<boolean>;
}

function eventStream(url: string, headers: Record<string, string>): Promise<Opened> {
  return new Promise((resolve, reject) => {
    get(url, { headers, agent: false }, (response: IncomingMessage) => {
      const ended = new Promise<boolean>((done) => response.once("close", () => done(response.complete)));
      response.resume();
      resolve({ ended });
    }).on("error", reject);
  });
}

function webSocket(url: string, headers: Record<string, string>, protocols: string[] = []): Promise<Opened> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace("http:", "ws:"), protocols, { headers });
    const ended = new Promise<boolean>((done) => socket.on("close", (code) => done(code !== 1006)));
    socket.on("open", () => resolve({ ended }));
    socket.on("error", reject);
  });
}

function rawRelay(url: string): Promise<Opened> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { headers: { Connection: "Upgrade", Upgrade: "DERP" }, agent: false });
    request.on("upgrade", (_response, stream: Duplex) => {
      const ended = new Promise<boolean>((done) => {
        stream.once("end", () => done(true));
        stream.once("error", () => done(false));
      });
      stream.resume();
      resolve({ ended });
    });
    request.on("error", reject);
    request.end();
  });
}

test("every stream ends when the server closes", async () => {
  // A stream that does not end on its own keeps the server from closing for longer than the test may take.
  const at = await startServer({ deps: { limits: { closeGraceMs: 600_000 } } });
  const { token } = await firstUser(at.url);
  const workspace = await addWorkspace(at.url, token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const ofAgent = { [SESSION_TOKEN_HEADER]: await agentToken(at.url, token, workspace.id) };
  const ofUser = { [SESSION_TOKEN_HEADER]: token };
  const ofProxy = { [PROXY_TOKEN_HEADER]: (await createOtherProxy({ ...at, token }, "near")).token };
  const agentPath = `${at.url}${api}/workspaceagents/${agentId}`;
  const reconnect = "3b579bf4-1ed8-4b99-87a8-e9a1e3410411";
  /** Streams that the server itself ends, because there is nothing to follow. */
  const short = new Set(["follow-build-logs", "follow-dry-run-logs"]);
  const upgrades: Record<string, () => Promise<Opened>> = {
    relay: () => webSocket(`${at.url}/derp`, {}, ["derp"]),
    coordinate: () => webSocket(`${agentPath}/coordinate?version=2.0`, ofUser),
    tailnet: () => webSocket(`${at.url}${api}/tailnet?version=2.0`, ofUser),
    "agent rpc": () => webSocket(`${at.url}${api}/workspaceagents/me/rpc?version=2.0`, ofAgent),
    "derp map": () => webSocket(`${at.url}${api}/derp-map`, {}),
    terminal: () => webSocket(`${agentPath}/pty?reconnect=${reconnect}`, ofUser),
    "watch-workspace": () => webSocket(`${at.url}${api}/workspaces/${workspace.id}/watch-ws`, ofUser),
    "watch-metadata": () => webSocket(`${agentPath}/watch-metadata-ws`, ofUser),
    "follow-agent-logs": () => webSocket(`${agentPath}/logs?follow`, ofUser),
    "watch-inbox": () => webSocket(`${at.url}${api}/notifications/inbox/watch`, ofUser),
    "dashboard-stream": () => webSocket(`${at.url}${api}/dashboard/stream`, ofUser),
    "proxy relay keys": () => webSocket(`${at.url}${PROXY_RELAY_KEYS_PATH}`, ofProxy),
    "proxy coordinate": () => webSocket(`${at.url}${PROXY_COORDINATE_PATH}?version=2.0`, ofProxy),
    echo: () => webSocket(`${at.url}${api}/debug/ws`, ofUser),
  };
  // A new upgrade route has to be listed here.
  const names = at.server.http.upgradeRoutes.map(({ name }) => name).filter((name) => !short.has(name));
  expect(names.sort()).toEqual(Object.keys(upgrades).sort());

  const opened = new Map<string, Opened>();
  for (const [name, open] of Object.entries(upgrades)) opened.set(name, await open());
  opened.set("raw relay", await rawRelay(`${at.url}/derp`));
  opened.set("watch", await eventStream(`${at.url}${api}/workspaces/${workspace.id}/watch`, ofUser));
  opened.set("watch-metadata by SSE", await eventStream(`${agentPath}/watch-metadata`, ofUser));

  const cutOff: string[] = [];
  const { streams } = at.server.parts;
  const { door } = at.server.http;
  const destroyAll = streams.destroyAll.bind(streams);
  streams.destroyAll = () => {
    cutOff.push("streams");
    destroyAll();
  };
  const destroyUpgraded = door.destroyUpgraded.bind(door);
  door.destroyUpgraded = () => {
    if (door.upgradedCount > 0) cutOff.push(`${door.upgradedCount} upgraded sockets`);
    destroyUpgraded();
  };
  await at[Symbol.asyncDispose]();
  const results: Record<string, boolean> = {};
  for (const [name, { ended }] of opened) results[name] = await ended;
  expect({ cutOff, open: streams.size }).toEqual({ cutOff: [], open: 0 });
  expect(results).toEqual(Object.fromEntries([...opened.keys()].map((name) => [name, true])));
});
