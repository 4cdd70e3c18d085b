import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { AgentFiles } from "./agent-files.ts";

let agent: Server;
afterEach(() => {
  agent.closeAllConnections();
  agent.close();
});

async function filesOf(answer: RequestListener): Promise<AgentFiles> {
  agent = createServer(answer);
  await once(agent.listen(0, "127.0.0.1"), "listening");
  const { port } = agent.address() as AddressInfo;
  const connection = { dial: async () => connect(port, "127.0.0.1") };
  return new AgentFiles({ acquire: async () => ({ connection, release: () => undefined }) });
}

const REQUEST = { agentId: "a", keyId: "k", token: "t" };
const QUERY = new URLSearchParams({ path: "/tmp/a" });

test("a check ends the transfer after its head", async () => {
  const ended = Promise.withResolvers<void>();
  const files = await filesOf((request, response) => {
    expect(request.url).toBe("/api/v0/files?path=%2Ftmp%2Fa");
    response.writeHead(200, { "Content-Length": 2 ** 40 }).write("x"); // never complete
    response.once("close", ended.resolve);
  });
  expect(await files.check(REQUEST, QUERY)).toBeUndefined();
  await ended.promise;
});

test("a check of an empty file succeeds, and a refusal is passed on", async () => {
  const empty = await filesOf((_request, response) => response.writeHead(200, { "Content-Length": 0 }).end());
  expect(await empty.check(REQUEST, QUERY)).toBeUndefined();
  agent.close();
  const refusing = await filesOf((_request, response) => response.writeHead(404).end('{"message":"no such file"}'));
  expect(await refusing.check(REQUEST, QUERY)).toEqual({ status: 404, text: '{"message":"no such file"}' });
});
