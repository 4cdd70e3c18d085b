/** Which requests of the page go where, with a deployment and an agent that the test makes up. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { ClientError } from "coder-client/base/client-error";
import type { PeerPathReport } from "coder-client/node/path-report";
import type { AgentTerminal } from "coder-protocol/rest/terminals";
import { createLogger } from "coder-server/base/log";
import { AgentFiles } from "coder-server/tunnels/agent-files";
import { afterEach, beforeEach, expect, it } from "vitest";
import { WorkspaceApi, type WorkspaceApiParts } from "./workspace-api.ts";

const AGENT = "0b7f6e57-5f4c-4a55-8f3d-6b4f4d1c2a10";
const OTHER = "1b7f6e57-5f4c-4a55-8f3d-6b4f4d1c2a10";
const TERMINAL = "2b7f6e57-5f4c-4a55-8f3d-6b4f4d1c2a10";
const MINE: AgentTerminal = {
  id: TERMINAL,
  command: "",
  title: "",
  started_at: "2026-01-01T00:00:00Z",
  last_attached_at: "2026-01-01T00:00:00Z",
  kept_until: null,
  viewers: 1,
  viewer_names: ["alice"],
  cols: 80,
  rows: 24,
  foreground: "",
  owner: "alice-id",
};

let server: Server;
let calls: string[];
let parts: WorkspaceApiParts;
let report: Partial<PeerPathReport> | undefined;

beforeEach(async () => {
  calls = [];
  report = undefined;
  const unreachable = async (): Promise<never> => {
    throw new Error("the tunnel is down");
  };
  parts = {
    workspace: { id: "w-1", ownerName: "alice", name: "dev" },
    user: { id: "alice-id", username: "alice" },
    deployment: {
      call: async (path, { method = "GET" } = {}) => {
        calls.push(`${method} ${path}`);
        return { from: "deployment" };
      },
    },
    agentId: () => AGENT,
    connection: () => (report === undefined ? undefined : { pathReport: () => report as PeerPathReport }),
    agentHttp: {
      terminals: async () => ({ terminals: [MINE, { ...MINE, owner: "bob-id" }], supported: true }),
      endTerminal: async (_tunnel, id) => id === TERMINAL,
    },
    files: new AgentFiles({ acquire: unreachable }),
    log: createLogger({ sink: { write: () => undefined }, level: "error", format: "json" }),
  };
  server = createServer((request, response) => {
    void new WorkspaceApi(parts).handle(request, response, new URL(`http://unused${request.url}`));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
});

async function ask(method: string, path: string): Promise<{ status: number; body: unknown }> {
  const { port } = server.address() as AddressInfo;
  const answer = await fetch(`http://127.0.0.1:${port}/api/v2${path}`, { method });
  const text = await answer.text();
  return { status: answer.status, body: text === "" ? undefined : JSON.parse(text) };
}

it("asks the deployment for the records of this workspace and its agent, and reports use", async () => {
  const found = { status: 200, body: { from: "deployment" } };
  expect(await ask("GET", "/users/alice/workspace/dev")).toEqual(found);
  expect(await ask("GET", `/workspaceagents/${AGENT}`)).toEqual(found);
  expect((await ask("POST", "/workspaces/w-1/usage")).status).toBe(204);
  expect(calls).toEqual([
    "GET /api/v2/users/alice/workspace/dev",
    `GET /api/v2/workspaceagents/${AGENT}`,
    "POST /api/v2/workspaces/w-1/usage",
  ]);
});

it.each([
  ["GET", "/users/me"],
  ["GET", "/users/alice/workspace/other"],
  ["GET", "/users/bob/workspace/dev"],
  ["GET", "/users/alice/workspace/dev/"],
  ["GET", "/users/alice/workspace/%2e%2e/keys"],
  ["DELETE", "/users/alice/workspace/dev"],
  ["POST", "/workspaces/w-1/builds"],
  ["POST", "/workspaces/w-2/usage"],
  ["POST", `/workspaceagents/${AGENT}`],
  ["GET", `/workspaceagents/${OTHER}`],
  ["GET", `/workspaceagents/${OTHER}/terminals`],
  ["GET", `/workspaceagents/${AGENT}/coordinate`],
  ["DELETE", `/workspaceagents/${AGENT}/terminals/${OTHER}`],
  ["POST", `/workspaceagents/${AGENT}/files`],
])("security S28: %s %s is not for the page, and reaches no one", async (method, path) => {
  expect((await ask(method, path)).status).toBe(404);
  expect(calls).toEqual([]);
});

it("lists terminals with the user's own by name, and ends one", async () => {
  const { body } = await ask("GET", `/workspaceagents/${AGENT}/terminals`);
  expect(body).toMatchObject({ supported: true, terminals: [{ owner: "alice" }, { owner: "bob-id" }] });
  expect((await ask("DELETE", `/workspaceagents/${AGENT}/terminals/${TERMINAL}`)).status).toBe(204);
});

it("says how the tunnel reaches the workspace", async () => {
  const path = `/workspaceagents/${AGENT}/network`;
  const counted = async () => (await ask("GET", path)).body as { connections: object; median_latency_ms?: number };
  expect((await counted()).connections).toEqual({ direct: 0, relayed: 0, unknown: 1 });
  const candidates = [
    { endpoint: "a", sources: [], state: "usable", pingsSent: 1, pongsReceived: 1, rttMs: 1, reason: "" } as const,
    { endpoint: "b", sources: [], state: "in-use", pingsSent: 1, pongsReceived: 1, rttMs: 2, reason: "" } as const,
  ];
  report = { path: { kind: "direct", endpoint: "b" }, candidates, relayRttMs: 9 };
  expect(await counted()).toMatchObject({ connections: { direct: 1, relayed: 0 }, median_latency_ms: 2 });
  report = { path: { kind: "relayed", region: { id: 1, name: "x" } }, candidates, relayRttMs: 9 };
  expect(await counted()).toMatchObject({ connections: { direct: 0, relayed: 1 }, median_latency_ms: 9 });
});

it("passes on what the deployment refuses, and words everything else itself", async () => {
  const failing = (error: Error): void => {
    parts = {
      ...parts,
      deployment: {
        call: async () => {
          throw error;
        },
      },
    };
  };
  for (const [given, shown] of [
    [401, 401],
    [404, 404],
    [500, 502],
    [418, 502],
  ]) {
    failing(new ClientError("ERR_SERVER", "no", { status: given }));
    expect((await ask("GET", "/users/alice/workspace/dev")).status).toBe(shown);
  }
  failing(new Error("connect ECONNREFUSED 10.0.0.1:443"));
  const { status, body } = await ask("GET", "/users/alice/workspace/dev");
  expect([status, JSON.stringify(body).includes("10.0.0.1")]).toEqual([502, false]);
});

it("says that the agent does not answer, for terminals and files", async () => {
  parts = {
    ...parts,
    agentHttp: {
      ...parts.agentHttp,
      terminals: async () => {
        throw new Error("no answer");
      },
    },
  };
  expect((await ask("GET", `/workspaceagents/${AGENT}/terminals`)).status).toBe(502);
  expect((await ask("GET", `/workspaceagents/${AGENT}/files?path=x`)).status).toBe(502);
  expect((await ask("GET", `/workspaceagents/${AGENT}/files`)).status).toBe(400);
});
