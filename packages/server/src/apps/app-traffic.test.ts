import type { IncomingMessage, ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { Places } from "../base/places.ts";
import { type Admission, AppTraffic, type AppTrafficOptions } from "./app-traffic.ts";
import { type ExchangeFacts, exchange } from "./exchange.ts";
import type { ProgramPools } from "./program-pool.ts";

/** The response to a client that has left: its "close" event has already been emitted. */
const gone = new PassThrough().destroy();
const response = gone as unknown as ServerResponse;
const request = { headers: {} } as IncomingMessage;

test("a client that left during the admission keeps no place and reaches no program", async () => {
  const [requests, webSockets] = [new Places("requests", { total: 1 }), new Places("WebSockets", { total: 1 })];
  const options = { requests, webSockets, clientAddress: () => "192.0.2.1" };
  const traffic = new AppTraffic(options as unknown as AppTrafficOptions);
  const admission = { decision: { visitor: undefined } } as unknown as Admission;
  expect(await traffic.request(request, response, admission)).toBeUndefined();
  expect(await traffic.upgrade(request, gone, Buffer.of(), admission)).toBeUndefined();
  expect([requests.taken, webSockets.taken]).toEqual([0, 0]);
});

test("nothing is exchanged for a client that left", async () => {
  const pools = { of: () => expect.unreachable() } as unknown as ProgramPools;
  const facts = { decision: { target: { port: 8080 } }, target: "/" } as unknown as ExchangeFacts;
  expect(await exchange(request, response, pools, facts)).toBeUndefined();
});
