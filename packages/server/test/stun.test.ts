import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tailnet } from "coder-protocol/gen/tailnet_pb.js";
import { expect, test } from "vitest";
import { encodeBindingRequest, parseBindingResponse } from "wg-userspace/stun/message";
import type { ServerFlagValues } from "../src/config/flags.ts";
import { firstUser, send, startServer } from "./helpers.ts";
import { dial } from "./peers.ts";

const start = (flags: ServerFlagValues) =>
  startServer({ flags: { "derp-server-stun-addresses": "disable", ...flags } });

const mapOf = async (url: string, token: string) =>
  (await send(url, "GET", "/api/v2/workspaceagents/connection", { token })).json;

test("the server returns clients their address, names its STUN port in the relay map, and counts", async () => {
  await using test = await start({ "stun-address": "127.0.0.1:0" });
  const port = test.server.stunPort!;
  const { token } = await firstUser(test.url);
  const info = await mapOf(test.url, token);
  expect(info.derp_map.Regions["999"].Nodes).toEqual([expect.objectContaining({ Name: "999b", STUNPort: port })]);
  expect(info.disable_direct_connections).toBe(false);

  const socket = createSocket("udp4");
  const answered = once(socket, "message") as Promise<[Buffer]>;
  socket.send(new Uint8Array(30), port, "127.0.0.1");
  socket.send(encodeBindingRequest(new Uint8Array(12)), port, "127.0.0.1");
  expect(parseBindingResponse((await answered)[0])?.mapped.port).toBe(socket.address().port);
  socket.close();
  const metrics = await test.server.parts.metrics.registry.metrics();
  expect(metrics).toContain('coder_stun_answers{family="ipv4"} 1');
  expect(metrics).toContain('coder_stun_dropped{reason="malformed"} 1');
});

test("a STUN port in use causes one warning that names it, and the map then has no STUN", async () => {
  const other = createSocket("udp4");
  await new Promise<void>((resolve) => other.bind({ address: "127.0.0.1", port: 0 }, resolve));
  const { port } = other.address();
  await using test = await start({ "stun-address": `127.0.0.1:${port}` });
  const warnings = test.log.text.split("\n").filter((line) => line.includes("STUN"));
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain(`127.0.0.1:${port}`);
  expect(warnings[0]).toContain("another program uses UDP port");
  const { token } = await firstUser(test.url);
  expect((await mapOf(test.url, token)).derp_map.Regions["999"].Nodes[0].STUNPort).toBe(-1);
  other.close();
});

test("without direct connections there is no STUN server and no STUN in the map, and all clients are informed", async () => {
  await using test = await start({
    "stun-address": "127.0.0.1:0",
    "block-direct-connections": "true",
    "derp-server-stun-addresses": "192.0.2.1:3478",
  });
  expect(test.server.stunPort).toBeUndefined();
  const { token } = await firstUser(test.url);
  const info = await mapOf(test.url, token);
  expect(info.disable_direct_connections).toBe(true);
  expect(Object.keys(info.derp_map.Regions)).toEqual(["999"]);
  expect(info.derp_map.Regions["999"].Nodes[0].STUNPort).toBe(-1);
});

test("--stun-address disable starts no STUN server", async () => {
  await using test = await start({ "stun-address": "disable" });
  expect(test.server.stunPort).toBeUndefined();
  expect(test.log.text).not.toContain("STUN");
});

test("public STUN servers in the map are not resolved by the server: their names need not exist to start", async () => {
  await using test = await start({
    "stun-address": "127.0.0.1:0",
    "derp-server-stun-addresses": "a.invalid:1,b.invalid:2",
  });
  const { token } = await firstUser(test.url);
  const { Regions: regions } = (await mapOf(test.url, token)).derp_map;
  expect(Object.keys(regions)).toEqual(["999", "1000", "1001"]);
});

test("connected peers are streamed a new relay map when the file changes", async () => {
  const folder = mkdtempSync(join(tmpdir(), "derp-map-"));
  const path = join(folder, "map.json");
  const map = (name: string) => {
    const nodes = ["1a", "1b"].map((node) => ({ Name: node, RegionID: 1, HostName: `${node}.example.com` }));
    writeFileSync(path, JSON.stringify({ Regions: { "1": { RegionID: 1, RegionName: name, Nodes: nodes } } }));
  };
  map("First");
  await using test = await start({ "stun-address": "127.0.0.1:0", "derp-config-path": path });
  const { token } = await firstUser(test.url);
  const connection = await dial(test.url, token, "/api/v2/tailnet");
  const maps = connection.rpc.serverStream(Tailnet.method.streamDERPMaps, {}).messages[Symbol.asyncIterator]();
  const next = async () => {
    const { value } = await maps.next();
    expect(value.homeParams).toBeDefined(); // stock peers crash without it
    return value.regions["1"].regionName;
  };
  expect(await next()).toBe("First");
  map("Second");
  expect(await next()).toBe("Second");
  await connection.close();
  rmSync(folder, { recursive: true });
}, 30_000);
