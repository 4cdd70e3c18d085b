import type { IncomingMessage, ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { DomainError } from "../base/domain-error.ts";
import { type PlaceHolder, Places } from "../base/places.ts";
import { APP_REQUESTS, APP_WEB_SOCKETS } from "./app-limits.ts";
import { type Admission, AppTraffic, type AppTrafficOptions } from "./app-traffic.ts";
import { type ExchangeFacts, exchange } from "./exchange.ts";
import { ProgramPools } from "./program-pool.ts";

/** The response to a client that has left: its "close" event has already been emitted. */
const gone = new PassThrough().destroy();
const response = gone as unknown as ServerResponse;
const request = { headers: {} } as IncomingMessage;

test("a client that left during the admission keeps no place and reaches no program", async () => {
  const [requests, webSockets] = [new Places("requests", { total: 1 }), new Places("WebSockets", { total: 1 })];
  const options = { requests, webSockets, clientAddress: () => "192.0.2.1" };
  const traffic = new AppTraffic(options as unknown as AppTrafficOptions);
  const admission = { decision: { visitor: undefined, target: { workspaceId: "w" } } } as unknown as Admission;
  expect(await traffic.request(request, response, admission)).toBeUndefined();
  expect(await traffic.upgrade(request, gone, Buffer.of(), admission)).toBeUndefined();
  expect([requests.taken, webSockets.taken]).toEqual([0, 0]);
});

test("nothing is exchanged for a client that left", async () => {
  const pools = { of: () => expect.unreachable() } as unknown as ProgramPools;
  const facts = { decision: { target: { port: 8080 } }, target: "/" } as unknown as ExchangeFacts;
  expect(await exchange(request, response, pools, facts)).toBeUndefined();
});

test("a workspace whose apps have all places of their share answers 503, and reaches no program", async () => {
  const limits = { total: 10, perWorkspace: 1 };
  const [requests, webSockets] = [new Places("requests to apps", limits), new Places("WebSockets to apps", limits)];
  requests.take({ userId: "another", workspaceId: "w" });
  webSockets.take({ workspaceId: "w" });
  const options = { requests, webSockets, clientAddress: () => "192.0.2.1" };
  const traffic = new AppTraffic(options as unknown as AppTrafficOptions);
  const visitor = { userId: "visitor" };
  const admission = { decision: { visitor, target: { workspaceId: "w" } } } as unknown as Admission;
  const open = new PassThrough();
  const text = (what: string): string =>
    `Too many open ${what} to apps of this workspace, at most 1. Try again in a moment.`;
  const busy = { status: 503, title: "Busy", headers: { "Retry-After": "5" } };
  expect(await traffic.request(request, open as unknown as ServerResponse, admission)).toEqual({
    ...busy,
    text: text("requests"),
  });
  expect(await traffic.upgrade(request, open, Buffer.of(), admission)).toEqual({ ...busy, text: text("WebSockets") });
  expect([requests.taken, webSockets.taken]).toEqual([1, 1]);
});

test("an app whose tunnel finds no room answers 503", async () => {
  const requests = new Places("requests", { total: 1 });
  const pools = new ProgramPools(() => Promise.reject(new DomainError("too-many", "Too many workspaces are open.")));
  const options = {
    requests,
    clientAddress: () => "192.0.2.1",
    accessUrl: () => new URL("http://coder.test"),
    exchanges: { add: () => () => undefined },
    pools,
  };
  const traffic = new AppTraffic(options as unknown as AppTrafficOptions);
  const target = { agentId: "a", workspaceId: "w", port: 8080, secure: false, hostHeader: "preserve" };
  const admission = { decision: { visitor: undefined, target }, relation: "own", origin: "http://a.test", target: "/" };
  const asked = Object.assign(new PassThrough(), {
    headers: { host: "a.test" },
    rawHeaders: [],
    method: "GET",
    url: "/",
    setTimeout: () => undefined,
  });
  const answer = await traffic.request(
    asked as unknown as IncomingMessage,
    new PassThrough() as unknown as ServerResponse,
    admission as unknown as Admission,
  );
  expect(answer).toMatchObject({ status: 503, text: "Too many workspaces are open. Try again in a moment." });
});

test("an address without a login takes a quarter of a workspace's places at most; another one and users still come in", () => {
  for (const limits of [APP_REQUESTS, APP_WEB_SOCKETS]) {
    const places = new Places("requests to apps", limits);
    const ofFirst = takenBy(places, { address: "192.0.2.1", workspaceId: "w" });
    expect([ofFirst, ofFirst * 4 <= limits.perWorkspace]).toEqual([limits.perAddressOfWorkspace, true]);
    expect(takenBy(places, { address: "192.0.2.2", workspaceId: "w" })).toBe(ofFirst);
    expect(takenBy(places, { userId: "visitor", workspaceId: "w" })).toBe(limits.perUser);
  }
});

/** How many places the holder gets until it is refused. */
function takenBy(places: Places, holder: PlaceHolder): number {
  for (let taken = 0; ; taken++) {
    try {
      places.take(holder);
    } catch {
      return taken;
    }
  }
}
