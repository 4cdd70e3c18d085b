import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { connectWorkspace } from "./connect.ts";

let server: Server;
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

it("requests the connection info while it looks up the workspace", async () => {
  const asked: string[] = [];
  const connectionInfoAsked = Promise.withResolvers<void>();
  server = createServer(async (request, response) => {
    asked.push(request.url!);
    if (request.url === "/api/v2/workspaceagents/connection") {
      connectionInfoAsked.resolve();
      response.writeHead(500).end(); // unused, because there is no such workspace
      return;
    }
    await connectionInfoAsked.promise;
    response.writeHead(404, { "content-type": "application/json" }).end('{"message":"Resource not found"}');
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const connecting = connectWorkspace({ url, token: "t", workspace: "nowhere", signal: AbortSignal.timeout(5_000) });
  await expect(connecting).rejects.toMatchObject({ code: "ERR_NOT_FOUND" });
  expect(asked.sort()).toEqual(["/api/v2/users/me/workspace/nowhere", "/api/v2/workspaceagents/connection"]);
});
