import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { Deployment } from "../rest/deployment.ts";
import { openWebSocket } from "./open-web-socket.ts";

const REFUSED = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const options = { maxPayload: 1_000, what: "the control connection", signal: new AbortController().signal };

/** Like nginx whose servers are all marked as failed: only a request that ends well brings them back into use. */
let balancer: Server;
let isServerUp: boolean;
let isMarkedFailed: boolean;
let requests: string[];
let deployment: Deployment;

beforeEach(async () => {
  isServerUp = false;
  isMarkedFailed = true;
  requests = [];
  balancer = createServer((request, response) => {
    requests.push(`GET ${request.url}`);
    if (isServerUp) isMarkedFailed = false;
    response.writeHead(isServerUp ? 200 : 502, { "content-type": isServerUp ? "application/json" : "text/html" });
    response.end(isServerUp ? "{}" : "<title>502 Bad Gateway</title>");
  });
  const webSockets = new WebSocketServer({ noServer: true });
  balancer.on("upgrade", (request, socket, head) => {
    requests.push(`upgrade ${request.url}`);
    if (isMarkedFailed) socket.end(REFUSED);
    else webSockets.handleUpgrade(request, socket, head, () => undefined);
  });
  balancer.listen(0, "127.0.0.1");
  await once(balancer, "listening");
  deployment = new Deployment({ url: new URL(`http://127.0.0.1:${(balancer.address() as AddressInfo).port}`) });
});

afterEach(async () => {
  balancer.close();
  balancer.closeAllConnections();
  await once(balancer, "close");
});

test("after a balancer reached no server, a short request goes before the next WebSocket", async () => {
  const open = () => openWebSocket(deployment, "/rpc", options);
  await expect(open()).rejects.toMatchObject({ code: "ERR_NOT_A_CODER_SERVER" });
  await expect(open()).rejects.toMatchObject({ code: "ERR_NOT_A_CODER_SERVER", retryable: true });
  expect(requests).toEqual(["upgrade /rpc", "GET /api/v2/buildinfo"]);

  isServerUp = true;
  requests = [];
  const socket = await open();
  expect(requests).toEqual(["GET /api/v2/buildinfo", "upgrade /rpc"]);
  socket.terminate();

  const again = await open();
  expect(requests.slice(2)).toEqual(["upgrade /rpc"]);
  again.terminate();
});
