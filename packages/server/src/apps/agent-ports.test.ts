import { expect, test } from "vitest";
import type { WallClock } from "../base/clock.ts";
import { parseWildcard, type Wildcard } from "../base/wildcard.ts";
import type { AgentRow } from "../db/schema.ts";
import { AgentPorts, type AgentPortsOptions } from "./agent-ports.ts";

const AGENT = { id: "a", name: "main", workspace_id: "w", last_connected_at: 1, disconnected_at: null } as AgentRow;
const REQUEST = { keyId: "k", token: "t" };
const row = (port: number) => ({ process_name: "node", network: "tcp", port });
const app = (url: string, external = 0) => ({ url, external });
const share = (port: number, agent = "main") => ({ agent_name: agent, port });

function ports({ agent = AGENT, wildcard = "*.apps.example.com" } = {}) {
  const asked: unknown[] = [];
  const options = {
    tables: {
      agents: {
        byId: async () => agent,
        appPlaces: async () => new Map([["a", { agent: "main", workspace: "dev", owner: "ada", alias: "x" }]]),
      },
      apps: {
        ofAgents: async () => [
          app("http://localhost:8080/x"),
          app("https://127.0.0.1"),
          app("http://localhost:3000"),
          app("https://example.com:5000", 1),
          app(""),
        ],
      },
      workspaces: { byId: async () => ({ id: "w" }) },
    },
    portShares: { list: async () => [share(3000), share(4000), share(9999, "other")] },
    agentHttp: {
      listeningPorts: async (_request: unknown, probed: readonly number[]) => {
        asked.push(probed);
        return { ports: [443, 3000, 5000, 8080].map(row) };
      },
    },
    wildcard: wildcard === "" ? undefined : (parseWildcard(wildcard) as Wildcard),
    accessUrl: () => new URL("https://coder.example.com"),
    clock: { now: () => 1_000 } as WallClock,
  };
  return { asked, of: new AgentPorts(options as unknown as AgentPortsOptions) };
}

test("programs of declared apps are left out, but for shared ports, and the address of ports comes along", async () => {
  const { of } = ports();
  expect(await of.listening(AGENT, REQUEST, { shared: false, ports: [] })).toEqual({
    ports: [row(3000), row(5000)],
    address: "https://{{port}}--main--dev--ada.apps.example.com",
  });
  const without = await ports({ wildcard: "" }).of.listening(AGENT, REQUEST, { shared: false, ports: [] });
  expect(without.address).toBe("");
});

test("the agent connects only to programs that are shared or asked about", async () => {
  const { asked, of } = ports();
  for (const probe of [
    { shared: false, ports: [] },
    { shared: false, ports: [5000] },
    { shared: true, ports: [5000, 3000] },
  ])
    await of.listening(AGENT, REQUEST, probe);
  expect(asked).toEqual([[], [5000], [5000, 3000, 4000]]);
});

test("an agent that is not connected is not asked", async () => {
  const { asked, of } = ports({ agent: { ...AGENT, last_connected_at: null } as unknown as AgentRow });
  expect(await of.listening(AGENT, REQUEST, { shared: true, ports: [] })).toEqual({ ports: [], address: "" });
  expect(asked).toEqual([]);
});
