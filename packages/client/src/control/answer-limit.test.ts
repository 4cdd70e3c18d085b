import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { implement, serveRpc } from "coder-protocol/drpc/async";
import { Agent } from "coder-protocol/gen/agent_pb.js";
import { YamuxSession } from "coder-protocol/yamux/session";
import { afterEach, expect, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import { Deployment } from "../rest/deployment.ts";
import { dialRpc } from "./rpc-connection.ts";
import { runYamux } from "./yamux-websocket.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A control connection to a server that answers every call but UpdateStats. */
async function connected() {
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  const service = implement(Agent, {
    updateStats: () => {
      resolve();
      return new Promise<never>(() => undefined);
    },
    getManifest: () => ({ agentName: "main" }),
  });
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    const yamux = new YamuxSession({ role: "server" });
    serveRpc(yamux, [service]);
    runYamux(socket, yamux);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const deployment = new Deployment({ url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`) });
  const connection = await dialRpc(deployment, "/", { signal: new AbortController().signal });
  cleanups.push(async () => {
    await connection.close();
    deployment.dialer.close();
    server.closeAllConnections();
    server.close();
  });
  return { rpc: connection.rpc, asked };
}

test("a call that a living server does not answer fails after ten minutes, and only that call", async () => {
  const { rpc, asked } = await connected();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }); // the network keeps its own
  const failure = rpc.unary(Agent.method.updateStats, {}).catch((error: unknown) => error);
  await asked;
  vi.advanceTimersByTime(10 * 60_000);
  expect(await failure).toMatchObject({
    code: "ERR_TIMEOUT",
    retryable: true,
    message: "UpdateStats was not answered within 600 s",
  });
  expect((await rpc.unary(Agent.method.getManifest, {})).agentName).toBe("main");
  vi.useRealTimers();
});

test("a caller's own signal still ends a call with its reason", async () => {
  const { rpc, asked } = await connected();
  const caller = new AbortController();
  const reason = new Error("not wanted any more");
  const failure = rpc.unary(Agent.method.updateStats, {}, { signal: caller.signal }).catch((error: unknown) => error);
  await asked;
  caller.abort(reason);
  expect(await failure).toBe(reason);
});
