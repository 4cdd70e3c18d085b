/** Clients that leave while their rights are being looked up. */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { AccessEvents } from "../auth/access-events.ts";
import { OpenStreams } from "../base/open-streams.ts";
import { Places } from "../base/places.ts";
import { TextSockets } from "../base/text-sockets.ts";
import { ControlPlane, type ControlPlaneOptions } from "../control/control-plane.ts";
import type { KnownClient } from "../control/open-socket.ts";
import { ownClientAuth } from "../control/peer-auth.ts";
import { Changes } from "../workspaces/changes.ts";
import { requireUser } from "./guards.ts";
import { EventStreams } from "./streams/event-streams.ts";
import { Watches, type WatchesOptions } from "./streams/watch.ts";
import type { Watched } from "./streams/watched.ts";
import { BrowserTerminals, type BrowserTerminalsOptions } from "./terminals/browser-terminals.ts";

const auth = { user: { id: "ada" }, key: { id: "k" }, token: "t" };
const request = { method: "GET", headers: {} } as IncomingMessage;

/** A response that has already emitted "close". */
async function gone(): Promise<PassThrough> {
  const stream = new PassThrough().destroy();
  await once(stream, "close");
  return stream;
}

test("no WebSocket is accepted", async () => {
  const places = new Places("WebSockets", { total: 1 });
  const sockets = new TextSockets({ places, heartbeatMs: 1_000, streams: new OpenStreams() });
  expect(await sockets.accept(request, await gone(), Buffer.of(), { userId: "ada" })).toBeUndefined();
  expect([places.taken, sockets.openCount]).toEqual([0, 0]);
});

test("no terminal takes a place", async () => {
  const { route } = new BrowserTerminals({
    authenticator: { authenticateUser: async () => auth, canReachAgent: async () => ({}) },
    connectionPolicies: { terminalRefusal: async () => undefined },
    limits: { total: 1 },
    clientAddress: () => "192.0.2.1",
  } as unknown as BrowserTerminalsOptions);
  const url =
    "/api/v2/workspaceagents/6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d11/pty?reconnect=6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d12";
  for (let count = 0; count < 2; count++)
    await route.handle({ ...request, url } as IncomingMessage, await gone(), Buffer.of());
});

test("no request to the API takes a place of its user", async () => {
  const places = new Places("requests", { total: 1 });
  const guard = requireUser({ authenticateUser: async () => auth } as never, places, "0123abcd");
  const context = { env: { incoming: request, outgoing: await gone() }, set: () => undefined };
  await guard(context as never, async () => undefined);
  expect(places.taken).toBe(0);
});

test("no event stream is begun", async () => {
  const changes = new Changes();
  const eventStreams = new EventStreams({ places: new Places("streams", { total: 1 }), streams: new OpenStreams() });
  const options = { changes, eventStreams, clientAddress: () => "192.0.2.1", access: { start: () => () => undefined } };
  const watches = new Watches(options as unknown as WatchesOptions);
  const response = Object.assign(await gone(), { req: request, writeHead: () => undefined });
  const watched = { topic: "workspace:w", read: async () => undefined } as unknown as Watched;
  watches.bySse(
    response as unknown as ServerResponse,
    { userId: "ada", keyId: "k", decidedAfter: new AccessEvents().moment },
    watched,
  );
  expect([eventStreams.openCount, changes.topicCount]).toEqual([0, 0]);
});

describe("no control connection", () => {
  const agentId = "6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d11";
  const agent = { agent: { id: agentId, token_generation: 1 }, workspace: { id: "w" }, owner: { id: "ada" } };
  function controlPlane(): ControlPlane {
    return new ControlPlane({
      authenticator: {
        authenticateUser: async () => auth,
        authenticateAgent: async () => agent,
        reachableWorkspaceOf: async () => ({ id: "w" }),
      },
      ownClient: { isSender: () => false, isMarked: () => false },
      connectionPolicies: { refusalAt: async () => undefined },
      accessEvents: new AccessEvents(),
      changes: new Changes(),
      store: {},
      relayMaps: { close: () => undefined },
      signingKey: new Uint8Array(32),
      settings: {},
      limits: { clientSockets: { total: 1 }, agentSockets: { total: 1 }, mapSockets: { total: 1 }, heartbeatMs: 1_000 },
      streams: new OpenStreams(),
      clientAddress: () => "192.0.2.1",
      clock: { now: () => 0 },
      metrics: new Registry(),
    } as unknown as ControlPlaneOptions);
  }

  test.each([
    ["of all agents", "/api/v2/tailnet?version=2.0"],
    ["of one agent", `/api/v2/workspaceagents/${agentId}/coordinate?version=2.0`],
    ["of an agent", "/api/v2/workspaceagents/me/rpc?version=2.0"],
    ["of a page", `/api/v2/workspaceagents/${agentId}/coordinate?version=2.0&client=browser`],
  ])("%s takes a place", async (_name, url) => {
    const control = controlPlane();
    const { pathname } = new URL(url, "http://server");
    const route = control.upgradeRoutes.find(({ match }) => match(new URL(pathname, "http://server")));
    // A page may have eight places; the other kinds of connections may have one.
    for (let count = 0; count < 9; count++)
      await route!.handle({ ...request, url } as IncomingMessage, await gone(), Buffer.of());
    await control.close();
  });

  test("of a workspace proxy takes a place", async () => {
    const control = controlPlane();
    const places = new Places("control connections of workspace proxies", { total: 1 });
    const client = { id: agentId, auth: ownClientAuth(agentId), places } as unknown as KnownClient;
    expect(control.clients.serveKnown(request, await gone(), Buffer.of(), client)).toBeUndefined();
    expect(places.taken).toBe(0);
    await control.close();
  });
});
