import type { Deployment } from "coder-client/rest/deployment";
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import { describe, expect, it } from "vitest";
import { agentNetworkText, listeningPorts } from "./show.ts";

const signal = new AbortController().signal;

const OURS = { "x-coder-build-version": "v2.26.0" };
const answering = (status: number, body: unknown, headers: Readonly<Record<string, string>> = OURS) =>
  ({ url: new URL("https://coder.test"), send: async () => ({ status, headers, body }) }) as unknown as Deployment;

/** What show prints for one answer of the server. */
const shown = (status: number, body: unknown, latency?: WorkspaceAgent["latency"]) => {
  const deployment = answering(status, body);
  return agentNetworkText(deployment, { id: "a", latency } as unknown as WorkspaceAgent, signal);
};
const counts = (direct: number, relayed: number, unknown: number) => ({ direct, relayed, unknown });

describe("agentNetworkText", () => {
  it("shows the home relay and the clients' paths", async () => {
    const clients = [
      { path: "direct", endpoint: "private", latency_ms: 3.4 },
      { path: "relayed", latency_ms: 31 },
      { path: "unknown" },
    ];
    const body = { home: { region_name: "Here", latency_ms: 12.2 }, connections: counts(1, 1, 1), clients };
    expect(await shown(200, body)).toEqual({
      home: "Here (12 ms)",
      connections: "1 direct (private, 3 ms), 1 relayed (31 ms), 1 path not reported",
    });
    expect(await shown(200, { home: null, connections: counts(0, 0, 0), clients: [] })).toEqual({
      home: "",
      connections: "none",
    });
  });

  it("falls back to the latency map that every server has", async () => {
    const latency = { There: { preferred: false, latency_ms: 1 }, Here: { preferred: true, latency_ms: 20 } };
    expect(await shown(404, "no such route", latency)).toEqual({ home: "Here (20 ms)", connections: "" });
    expect(await shown(404, undefined)).toEqual({ home: "", connections: "" });
  });

  it("does not trust an answer of another shape", async () => {
    const good = { home: null, connections: counts(0, 0, 0), clients: [] };
    for (const body of [null, [], "x", {}, { ...good, clients: [1] }, { ...good, home: { region_name: 7 } }])
      expect(await shown(200, body)).toEqual({ home: "", connections: "" });
    expect((await shown(200, { ...good, connections: { direct: "1" } })).connections).toBe("");
  });
});

it.each([
  ["network", (deployment: Deployment) => agentNetworkText(deployment, { id: "a" } as WorkspaceAgent, signal)],
  ["ports", (deployment: Deployment) => listeningPorts(deployment, "a", signal)],
])("an answer in the deployment's place is no empty column: %s", async (_, ask) => {
  const page = { server: "lb" };
  await expect(ask(answering(503, "<title>no backend</title>", page))).rejects.toMatchObject({
    code: "ERR_NOT_A_CODER_SERVER",
    message: expect.stringContaining('503 Service Unavailable from "lb", with a page "no backend"'),
  });
});
