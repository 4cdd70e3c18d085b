/** The server's HTTP requests to agents, against a lying agent. */
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { expect, test } from "vitest";
import { createLogger } from "../src/base/log.ts";
import { AgentHttp } from "../src/tunnels/agent-http.ts";
import { TextCollector } from "./helpers.ts";

const request = { agentId: "a", keyId: "k", token: "secret" };

/** An agent with scripted answers, reached through a fake tunnel that records dials. */
async function agent(answer: RequestListener) {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const dialled: number[] = [];
  let held = 0;
  const tunnels = {
    acquire: async () => {
      held++;
      return {
        connection: {
          dial: async (wanted: number) => {
            dialled.push(wanted);
            return connect(port, "127.0.0.1");
          },
        },
        release: () => void held--,
      };
    },
  };
  const log = new TextCollector();
  const http = new AgentHttp(tunnels, createLogger({ sink: log, level: "debug", format: "json" }));
  return {
    http,
    dialled,
    log,
    held: () => held,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const port = (number: number, name = "node") => ({ process_name: name, network: "tcp", port: number });

test("listening ports are requested at port 4, once a second, and exclude the agent's own services", async () => {
  await using at = await agent((_request, response) => {
    response.end(JSON.stringify({ ports: [port(4, "coder"), port(3000), port(99_999)] }));
  });
  const both = await Promise.all([at.http.listeningPorts(request), at.http.listeningPorts(request)]);
  expect(both).toEqual([{ ports: [port(3000)] }, { ports: [port(3000)] }]);
  expect(at.dialled).toEqual([4]);
  expect(at.held()).toBe(0);
});

test("the protocol is requested only for the named ports, and anything else that an agent reports about it is left out", async () => {
  const asked: string[] = [];
  await using at = await agent(({ url }, response) => {
    asked.push(url ?? "");
    const rows = [
      { ...port(3000), kind: "https" },
      { ...port(3001), kind: "<b>" },
      { ...port(3002), kind: "other" },
    ];
    response.end(JSON.stringify({ ports: rows, address: "https://evil.example/{{port}}" }));
  });
  const found = { ports: [{ ...port(3000), kind: "https" }, port(3001), { ...port(3002), kind: "other" }] };
  expect(await at.http.listeningPorts(request, [3000, 3001])).toEqual(found);
  await at.http.listeningPorts(request);
  expect(asked).toEqual(["/api/v0/listening-ports?probe=3000&probe=3001", "/api/v0/listening-ports"]);
});

test.each([301, 302, 303, 307, 308])(
  "security 14: a redirect (%i) of an agent leads nowhere, and the dialled address is the only one",
  async (status) => {
    let reached = 0;
    const elsewhere = createServer((_request, response) => {
      reached++;
      response.end(JSON.stringify({ ports: [port(6666, "stolen")] }));
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
    const target = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/api/v0/listening-ports`;
    const asked: string[] = [];
    await using at = await agent((incoming, response) => {
      asked.push(`${incoming.method} ${incoming.url}`);
      response.writeHead(status, { Location: target, Refresh: `0; url=${target}` }).end();
    });
    expect(await at.http.listeningPorts(request)).toEqual({ ports: [] });
    expect(asked).toEqual(["GET /api/v0/listening-ports"]);
    expect(at.dialled).toEqual([4]);
    expect(reached).toBe(0);
    elsewhere.close();
  },
);

test.each<[string, RequestListener]>([
  ["no JSON", (_request, response) => response.end("<html>")],
  ["another shape", (_request, response) => response.end('{"ports":[{"port":"22"}]}')],
  ["more bytes than the limit", (_request, response) => response.end(" ".repeat(300 * 1024))],
  ["an error", (_request, response) => response.writeHead(500).end("{}")],
  ["nothing", (incoming) => incoming.socket.destroy()],
])("an agent that answers with %s has no ports, and the log says so without the token", async (_name, answer) => {
  await using at = await agent(answer);
  expect(await at.http.listeningPorts(request)).toEqual({ ports: [] });
  expect(at.log.text).toContain("asking the agent for its listening ports failed");
  expect(at.log.text).not.toContain(request.token);
  expect(at.held()).toBe(0);
});
