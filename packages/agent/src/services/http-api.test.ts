import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { afterEach, expect, it, vi } from "vitest";
import { parseAddrPort } from "wg-userspace/base/ip";
import type { NetReport } from "wg-userspace/netcheck/report";
import { listeningPorts, parseLsof, parseProcNetTcp } from "../host/listening-ports.ts";
import { HttpApi, type ProvenIdentity } from "./http-api.ts";

const REPORT = {
  udp: true,
  mappingVariesByDestIp: true,
  preferredDerp: 7,
  regionLatencyMs: new Map([[7, 20]]),
  regionV4LatencyMs: new Map(),
  regionV6LatencyMs: new Map(),
  unresolvedNames: [],
  observations: [
    {
      regionId: 7,
      node: "7a",
      server: parseAddrPort("192.0.2.1:3478")!,
      mapped: parseAddrPort("203.0.113.9:5")!,
      rttMs: 3,
    },
  ],
} as unknown as NetReport;
const silent = { level: "error", log: () => undefined } as const;
const ended: string[] = [];
const titles: string[] = [];
const TERMINALS = {
  list: () => [],
  end: (id: string) => id === "known" && ended.push(id) > 0,
  rename: (id: string, title: string) => id === "known" && titles.push(title) > 0,
  directoryOf: () => undefined,
};
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function ask(
  path: string,
  netcheck = async () => REPORT,
  method = "GET",
  content = "",
  identity?: ProvenIdentity,
) {
  const api = new HttpApi({
    netcheck,
    peerView: (peer) => ({ of: peer }),
    logger: silent,
    terminals: TERMINALS,
    identity,
  });
  const [client, served] = duplexPair() as [Duplex, Duplex];
  api.handleConnection(served, "fd7a::1");
  client.write(
    `${method} ${path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\nContent-Length: ${content.length}\r\n\r\n${content}`,
  );
  let text = "";
  for await (const chunk of client) text += String(chunk);
  const [head, body] = text.split("\r\n\r\n");
  return { status: Number(head!.split(" ")[1]), body: JSON.parse(body!) };
}

it("greets", async () => {
  expect(await ask("/")).toEqual({ status: 200, body: { message: "Hello from the agent!" } });
});

it("reports its network in the form that stock clients read, together with the evidence", async () => {
  const { status, body } = await ask("/api/v0/netcheck");
  expect(status).toBe(200);
  expect(body).toMatchObject({
    severity: "ok",
    warnings: [],
    dismissed: false,
    net_info: { WorkingUDP: true, MappingVariesByDestIP: true, PreferredDERP: 7, DERPLatency: { "7-v4": 0.02 } },
    report: { UDP: true, RegionLatency: { "7": 20_000_000 } },
    observations: [{ node: "7a", server: "192.0.2.1:3478", mapped: "203.0.113.9:5", rtt_ms: 3 }],
    // The view of the requesting client, and of no other.
    peer: { of: "fd7a::1" },
  });
  expect(Array.isArray(body.interfaces.interfaces)).toBe(true);
});

it("a check that fails is an answer with the reason", async () => {
  const { status, body } = await ask("/api/v0/netcheck", async () => {
    throw new Error("there is no relay map yet");
  });
  expect(status).toBe(200);
  expect(body).toMatchObject({ severity: "error", net_info: null, error: "Error: there is no relay map yet" });
});

it("tells what it can do beyond stock agents, and its terminals", async () => {
  expect((await ask("/api/v0/capabilities")).body).toEqual({ terminal_framing: 1, terminals: 1, files: 1 });
  expect(await ask("/api/v0/terminals")).toEqual({ status: 200, body: { terminals: [] } });
  expect((await ask("/api/v0/terminals/known", undefined, "DELETE")).status).toBe(200);
  expect((await ask("/api/v0/terminals/other", undefined, "DELETE")).status).toBe(404);
  expect((await ask("/api/v0/terminals/known", undefined, "PATCH", '{"title":"build"}')).status).toBe(200);
  expect((await ask("/api/v0/terminals/known", undefined, "PATCH", '{"title":7}')).status).toBe(400);
  expect((await ask("/api/v0/terminals/known", undefined, "PATCH", "null")).status).toBe(400);
  expect((await ask("/api/v0/terminals/known")).status).toBe(405);
  expect([ended, titles]).toEqual([["known"], ["build"]]);
});

it("refuses other methods and routes", async () => {
  expect((await ask("/nothing")).status).toBe(404);
  expect((await ask("/", undefined, "POST")).status).toBe(405);
});

it("reads the kernel's table of listening sockets", () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 12346 1 0 100 0 0 10 0
   2: garbage`;
  expect(parseProcNetTcp(table)).toEqual([{ port: 8080, inode: "12345" }]);
  expect(parseProcNetTcp("")).toEqual([]);
});

it("reads what lsof prints on macOS", () => {
  const text = [
    ...["p501", "cnode", "f23", "n*:3000", "f24", "n[::1]:3000", "f25", "n127.0.0.1:9229"],
    ...["p502", "cControlCe", "f9", "n*:7000", "f10", "n*:22"],
    ...["p503", "f3", "n*:8080", "f4", "n127.0.0.1:50000->1.2.3.4:443", "f5", "n*:*", "f6", "n*:99999", ""],
  ].join("\n");
  expect(parseLsof(text)).toEqual([
    { process_name: "node", network: "tcp", port: 3000, listener: "501" },
    { process_name: "ControlCe", network: "tcp", port: 7000, listener: "502" },
    { process_name: "", network: "tcp", port: 8080, listener: "503" },
    { process_name: "node", network: "tcp", port: 9229, listener: "501" },
  ]);
  expect(parseLsof("")).toEqual([]);
});

it.runIf(process.platform === "linux")("lists a port that is listened on, with the program's name", async () => {
  const server = createServer();
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const found = (await listeningPorts()).find((one) => one.port === port);
  expect(found).toMatchObject({ network: "tcp" });
  expect(found!.process_name.length).toBeGreaterThan(0);
});

it.runIf(process.platform === "linux")(
  "tells what a port speaks where it is asked to, and connects to no other",
  async () => {
    const connected: number[] = [];
    const program = async (): Promise<number> => {
      const server = createHttpServer((_request, response) => response.end());
      server.on("connection", () => connected.push((server.address() as AddressInfo).port));
      servers.push(server);
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    };
    const [one, other] = [await program(), await program()];
    const seen = { process_name: expect.any(String), network: "tcp" };
    // The first answer does not wait for a slow program; the next one has the result.
    await vi.waitFor(async () => {
      const { body } = await ask(`/api/v0/listening-ports?probe=${one}&probe=x&probe=0`);
      const rows = (body.ports as { port: number }[]).filter(({ port }) => port === one || port === other);
      expect(new Set(rows)).toEqual(
        new Set([
          { ...seen, port: one, kind: "http" },
          { ...seen, port: other },
        ]),
      );
    }, 30_000);
    expect(connected).toEqual([one]);
  },
);

it("a client that crashed with all its streams open does not obstruct others, and its streams end", async () => {
  const api = new HttpApi({
    netcheck: async () => REPORT,
    peerView: () => null,
    logger: silent,
    terminals: TERMINALS,
    connectionLimitMs: 300,
  });
  const open = (peer: string) => {
    const [client, served] = duplexPair() as [Duplex, Duplex];
    client.on("error", () => undefined);
    const closed = once(served, "close");
    api.handleConnection(served, peer);
    return { client, served, closed };
  };
  const dead = Array.from({ length: 64 }, () => open("fd7a::dead"));
  dead[0]!.client.write("POST /api/v0/list-directory HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  dead[1]!.client.write("GET / HTT");
  expect(dead.filter(({ served }) => !served.destroyed)).toHaveLength(16);
  const { client } = open("fd7a::2");
  client.write("GET / HTTP/1.1\r\nHost: agent\r\n\r\n");
  expect(String((await once(client, "data"))[0])).toContain("200 OK");
  await Promise.all(dead.map(({ closed }) => closed));
  client.destroy();
  await expect.poll(() => api.openConnections).toBe(0);
});

it("proves its identity to a client that challenges it, where it has one", async () => {
  expect((await ask("/api/v0/identity?challenge=00")).status).toBe(404);
  const identity = {
    publicKey: new Uint8Array(32).fill(1),
    nodeKey: new Uint8Array(32).fill(2),
    prove: (challenge: Uint8Array) => challenge.subarray(0, 2),
  };
  const asked = (query: string) => ask(`/api/v0/identity${query}`, undefined, "GET", "", identity);
  for (const wrong of [
    "",
    "?challenge=",
    "?challenge=ab",
    `?challenge=${"zz".repeat(32)}`,
    `?challenge=${"ab".repeat(33)}`,
  ])
    expect([wrong, (await asked(wrong)).status]).toEqual([wrong, 400]);
  expect(await asked(`?challenge=${"ab".repeat(32)}`)).toEqual({
    status: 200,
    body: { public_key: "01".repeat(32), node_key: "02".repeat(32), signature: "abab" },
  });
  const { body } = await ask("/api/v0/capabilities", undefined, "GET", "", identity);
  expect(body).toMatchObject({ terminals: 1, identity: 1 });
});
