import { createServer, type Server } from "node:http";
import { duplexPair } from "node:stream";
import { agentNetworkFromJson } from "coder-client/diagnosis/agent-network";
import fc from "fast-check";
import { expect, it } from "vitest";
import { agentNetwork, type Dialable } from "./agent-api.ts";

/** An agent whose port 4 returns this response. */
function agentWith(status: number, body: string): Dialable {
  const server: Server = createServer((_request, response) => {
    response.writeHead(status);
    response.end(body);
  });
  return {
    dial: async (port) => {
      expect(port).toBe(4);
      const [client, served] = duplexPair();
      server.emit("connection", served);
      return client;
    },
  };
}
const signal = (): AbortSignal => AbortSignal.timeout(5_000);

it("reads a stock agent's answer", async () => {
  const body = {
    severity: "ok",
    net_info: { WorkingUDP: true, MappingVariesByDestIP: true, PreferredDERP: 999 },
    interfaces: { interfaces: [{ name: "eth0", mtu: 1280, addresses: ["10.0.0.1/24"] }] },
  };
  const { report, interfaces } = await agentNetwork(agentWith(200, JSON.stringify(body)), signal());
  expect(report).toMatchObject({ udp: true, mappingVariesByDestIp: true, preferredDerp: 999 });
  expect(interfaces).toEqual([{ name: "eth0", mtu: 1280, addresses: ["10.0.0.1/24"] }]);
});

it("reads the extra fields of our agents: each server's view", () => {
  const { report } = agentNetworkFromJson({
    report: { UDP: true },
    observations: [
      { node: "a", server: "192.0.2.1:3478", mapped: "203.0.113.9:5" },
      { node: "b", server: "bad" },
    ],
  });
  expect(report?.observations).toMatchObject([{ node: "a" }]);
});

it("reads our agents' view of the paths to us; what is malformed counts as unknown", () => {
  const { peer } = agentNetworkFromJson({
    peer: {
      candidates: [
        { endpoint: "203.0.113.9:5", pings_sent: 4, pongs_received: 0, heard: true },
        { endpoint: "nowhere", heard: true },
        { endpoint: "10.0.0.1:5", pings_sent: -1, pongs_received: "7" },
      ],
      failures: { count: 3, life_ms: 7_999.6, held_for_ms: 0, loss: 7 },
    },
  });
  expect(peer).toEqual({
    candidates: [
      { endpoint: "203.0.113.9:5", pingsSent: 4, pongsReceived: 0, heard: true },
      { endpoint: "10.0.0.1:5", pingsSent: 0, pongsReceived: 0, heard: false },
    ],
    failures: { count: 3, lifeMs: 8_000, heldForMs: 0 },
  });
  expect(agentNetworkFromJson({}).peer).toBeUndefined();
  expect(agentNetworkFromJson({ peer: { candidates: [], failures: null } }).peer).toEqual({ candidates: [] });
});

it("an old agent and a failing one are distinguished", async () => {
  await expect(agentNetwork(agentWith(404, ""), signal())).rejects.toThrow("too old to check its network");
  await expect(agentNetwork(agentWith(500, "x"), signal())).rejects.toThrow("HTTP 500");
});

it("an endless answer is aborted", async () => {
  await expect(agentNetwork(agentWith(200, "x".repeat(2 << 20)), signal())).rejects.toThrow("longer than");
});

it("reads anything without throwing", () => {
  fc.assert(fc.property(fc.jsonValue(), (json) => void agentNetworkFromJson(json)));
});
