/** Every WebSocket of the server as tests open it. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Duplex, PassThrough } from "node:stream";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { PROXY_TOKEN_HEADER } from "coder-protocol/rest/workspace-proxies";
import { OpenStreams } from "../src/base/open-streams.ts";
import type { HttpLimits } from "../src/http/limits.ts";
import { readPtyQuery } from "../src/http/terminals/pty-query.ts";
import { TerminalSockets, type TerminalSocketsOptions } from "../src/http/terminals/terminal-sockets.ts";
import { addMember, addWorkspace, agentToken, firstUser, send, startServer } from "./helpers.ts";

export async function scene(limits: Partial<HttpLimits> = {}) {
  const server = await startServer({
    flags: {
      "stun-address": "disable",
      "derp-server-stun-addresses": "disable",
      "proxy-trusted-origins": "127.0.0.1/32",
      "proxy-trusted-headers": "X-Forwarded-For",
    },
    deps: { limits },
  });
  const ada = await firstUser(server.url);
  const bob = await addMember(server.url, ada.token, "bob");
  const workspace = await addWorkspace(server.url, ada.token, "dev");
  const bobs = await addWorkspace(server.url, bob.token, "dev");
  const agentOf = (of: typeof workspace): string => of.latest_build.resources[0].agents[0].id;
  const agents = await agentToken(server.url, ada.token, workspace.id);
  const as = (token: string, from = "192.0.2.1") => ({ [SESSION_TOKEN_HEADER]: token, "X-Forwarded-For": from });
  return {
    ...server,
    ada,
    bob,
    workspace,
    bobs,
    agentOf,
    agents,
    as,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

export type Scene = Awaited<ReturnType<typeof scene>>;

type Target = [path: string, headers: Record<string, string>];

export const SOCKETS: [name: string, longest: number, open: (at: Scene) => Target | Promise<Target>][] = [
  ["the relay map", 1024, () => ["/derp-map", {}]],
  ["a workspace's watch", 1024, (at) => [`/workspaces/${at.workspace.id}/watch-ws`, at.as(at.ada.token)]],
  ["metadata", 1024, (at) => [`/workspaceagents/${at.agentOf(at.workspace)}/watch-metadata-ws`, at.as(at.ada.token)]],
  ["logs", 1024, (at) => [`/workspaceagents/${at.agentOf(at.workspace)}/logs?follow`, at.as(at.ada.token)]],
  ["the echo", 1024, (at) => ["/debug/ws", at.as(at.ada.token)]],
  ["the inbox", 1024, (at) => ["/notifications/inbox/watch", at.as(at.ada.token)]],
  ["a dashboard", 64 * 1024, (at) => ["/dashboard/stream", at.as(at.ada.token)]],
  [
    "a proxy's relay keys",
    1024,
    async (at) => {
      const { token } = at.ada;
      const { json } = await send(at.url, "POST", "/api/v2/workspaceproxies", { token, body: { name: "far" } });
      return ["/workspaceproxies/me/relay-keys", { [PROXY_TOKEN_HEADER]: json.proxy_token }];
    },
  ],
  ["a client's control connection", 257 * 1024, (at) => ["/tailnet?version=2.0", at.as(at.ada.token)]],
  [
    "a client's control connection for one agent",
    257 * 1024,
    (at) => [`/workspaceagents/${at.agentOf(at.workspace)}/coordinate?version=2.0`, at.as(at.ada.token)],
  ],
  ["an agent's control connection", 257 * 1024, (at) => ["/workspaceagents/me/rpc?version=2.0", at.as(at.agents)]],
];

/** Serves terminals of an agent. @param stream What it makes of them; absent: it reads everything. */
export async function terminal(stream: Duplex = new PassThrough().resume()) {
  const dialled = Promise.withResolvers<void>();
  const connection = {
    dial: async () => {
      dialled.resolve();
      return stream;
    },
    path: undefined,
    onPathChange: () => () => undefined,
  };
  const sockets = new TerminalSockets({
    tunnels: { acquire: async () => ({ connection, release: () => undefined }) },
    agentHttp: { capabilities: async () => ({ terminal_framing: 0 }), forgetCapabilities: () => undefined },
    streams: new OpenStreams(),
    log: { info: () => undefined },
  } as unknown as TerminalSocketsOptions);
  const server = createServer();
  server.on("upgrade", (request, socket, head) =>
    sockets.open(request, socket, head, {
      query: readPtyQuery(new URLSearchParams({ reconnect: crypto.randomUUID() })),
      user: { id: "ada", username: "ada" },
      request: { agentId: "a", keyId: "k", token: "t" },
      fresh: true,
      watch: () => () => undefined,
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${port}`,
    dialled: dialled.promise,
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
