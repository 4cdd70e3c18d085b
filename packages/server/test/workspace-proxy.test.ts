/** A workspace proxy, and a primary that accepts only the messages that it expects. */
import { randomUUID } from "node:crypto";
import { expect, test, vi } from "vitest";
import { createLogger } from "../src/base/log.ts";
import type { ServerFlagValues } from "../src/config/flags.ts";
import { parseProxyConfig } from "../src/proxy/config.ts";
import { type ProxyDeps, WorkspaceProxy } from "../src/proxy/workspace-proxy.ts";
import { FakePrimary } from "./fake-primary.ts";
import { send, TextCollector } from "./helpers.ts";
import { RelayClient } from "./relay-client.ts";

const TOKEN = `0b4f42b9-3a9c-4d0e-8f52-6f6f0c7f9d11:${"5e".repeat(32)}`;
const MESH_KEY = "6d".repeat(32);
const eventually = { timeout: 25_000, interval: 25 };

const newPrimary = (): Promise<FakePrimary> => new FakePrimary(TOKEN).listen();

async function startProxy(primary: FakePrimary, flags: ServerFlagValues = {}, deps: Partial<ProxyDeps> = {}) {
  const log = new TextCollector();
  const config = parseProxyConfig({
    "primary-access-url": primary.url,
    "access-url": "http://near.example",
    "proxy-session-token": TOKEN,
    "derp-only": true,
    "http-address": "127.0.0.1:0",
    "stun-address": "disable",
    ...flags,
  });
  const proxy = new WorkspaceProxy(config, {
    log: createLogger({ sink: log, level: "debug", format: "json" }),
    ...deps,
  });
  await proxy.listen();
  const port = proxy.address!.port;
  const url = `http://127.0.0.1:${port}`;
  return { proxy, port, url, log, [Symbol.asyncDispose]: () => proxy.close() };
}

type Started = Awaited<ReturnType<typeof startProxy>>;

const get = (at: Started, path: string) => send(at.url, "GET", path);
const client = (...at: readonly Started[]): RelayClient => {
  const made = new RelayClient();
  return at[0] === undefined ? made : made.dial(at[0].port);
};

test.concurrent("it registers, and its relay serves the clients that the primary names, and no others", async () => {
  await using primary = await newPrimary();
  await using a = client();
  await using b = client();
  await using c = client();
  primary.snapshot = [{ snapshot: true, more: true, add: [a.key] }, { add: [b.key] }];
  await using at = await startProxy(primary);
  await Promise.all([a.dial(at.port).ready(), b.dial(at.port).ready()]);
  await a.reaches(b, "hello");
  c.dial(at.port);
  await vi.waitFor(() => expect(at.proxy.relay!.metrics.relay.connections).toBe(3), eventually);
  expect(c.connection.state).not.toBe("ready");
  primary.send({ add: [c.key] });
  await c.ready();
  await c.reaches(a, "held until it was named");
  primary.send({ remove: [b.key] });
  await vi.waitFor(() => expect(at.proxy.relay!.isConnected(b.publicKey)).toBe(false), eventually);
  await a.reaches(c, "goes on");
  expect(primary.statements[0]).toMatchObject({
    access_url: "http://near.example",
    replica_id: at.proxy.replicaId,
    stun_port: 0,
  });
  expect(primary.faults).toEqual([]);
});

test.concurrent("it answers probes and questions about its identity, and no route of a deployment", async () => {
  await using primary = await newPrimary();
  await using at = await startProxy(primary);
  await vi.waitFor(async () => expect((await get(at, "/readyz")).status).toBe(200), eventually);
  expect((await get(at, "/healthz")).text).toBe("OK");
  expect((await get(at, "/healthz-report")).json).toEqual({ errors: [], warnings: [] });
  expect((await get(at, "/buildinfo")).json).toMatchObject({
    external_url: "http://near.example",
    dashboard_url: primary.url,
    workspace_proxy: true,
  });
  const latency = await get(at, "/latency-check");
  expect([
    latency.status,
    latency.headers["access-control-allow-origin"],
    latency.headers["timing-allow-origin"],
  ]).toEqual([200, "*", "*"]);
  expect((await get(at, "/derp/latency-check")).status).toBe(200);
  for (const path of ["/api/v2/users/me", "/", "/api/v2/workspaceproxies/me/register"])
    expect((await get(at, path)).status).toBe(404);
  expect((await send(at.url, "GET", "/healthz", { headers: { Host: "evil.example" } })).status).toBe(421);
});

test.concurrent("it starts without a primary, is not ready then, and registers once there is one", async () => {
  await using primary = await newPrimary();
  await primary.goAway();
  await using at = await startProxy(primary);
  await vi.waitFor(() => expect(at.proxy.report().errors).toHaveLength(1), eventually);
  expect([(await get(at, "/healthz")).status, (await get(at, "/readyz")).status]).toEqual([200, 503]);
  expect(at.log.text).toContain("cannot register with the primary");
  await primary.listen();
  await vi.waitFor(async () => expect((await get(at, "/readyz")).status).toBe(200), eventually);
  expect(at.proxy.report()).toEqual({ errors: [], warnings: [] });
  expect(primary.faults).toEqual([]);
});

test.concurrent("while the primary is away, clients stay, and known ones may connect", async () => {
  await using primary = await newPrimary();
  await using a = client();
  await using b = client();
  await using c = client();
  primary.snapshot = [{ snapshot: true, add: [a.key, b.key] }];
  await using at = await startProxy(primary);
  await a.dial(at.port).ready();
  await primary.goAway();
  await vi.waitFor(() => expect(at.proxy.report().warnings.join()).toContain("no stream of relay keys"), eventually);
  await b.dial(at.port).ready();
  await a.reaches(b, "without a primary");
  primary.snapshot = [{ snapshot: true, add: [b.key, c.key] }];
  await primary.listen();
  await c.dial(at.port).ready();
  // The primary has just started, and `a` has not connected to it yet.
  await a.reaches(c, "the primary is back");
  primary.send({ remove: [a.key] });
  await vi.waitFor(() => expect(at.proxy.relay!.isConnected(a.publicKey)).toBe(false), eventually);
  await c.reaches(b, "goes on");
});

test.concurrent("a client that the primary does not name within the grace period after its restart is disconnected", async () => {
  await using primary = await newPrimary();
  await using a = client();
  await using b = client();
  primary.snapshot = [{ snapshot: true, add: [a.key, b.key] }];
  await using at = await startProxy(primary, {}, { keyGraceMs: 50 });
  await Promise.all([a.dial(at.port).ready(), b.dial(at.port).ready()]);
  primary.snapshot = [{ snapshot: true, add: [b.key] }];
  for (const stream of primary.streams) stream.close(1001, "restart");
  await vi.waitFor(() => expect(at.proxy.relay!.isConnected(a.publicKey)).toBe(false), eventually);
  expect(at.proxy.relay!.isConnected(b.publicKey)).toBe(true);
});

test.concurrent("after its token is replaced a proxy admits no new clients, and known ones stay", async () => {
  await using primary = await newPrimary();
  await using a = client();
  await using b = client();
  await using c = client();
  primary.snapshot = [{ snapshot: true, add: [a.key, b.key] }];
  await using at = await startProxy(primary);
  await Promise.all([a.dial(at.port).ready(), b.dial(at.port).ready()]);
  primary.token = `${TOKEN.slice(0, -1)}f`;
  for (const stream of primary.streams) stream.close(1008, "the token was replaced");
  await vi.waitFor(() => expect(at.proxy.report().errors.join()).toContain("has not accepted"), eventually);
  c.dial(at.port);
  await vi.waitFor(() => expect(at.proxy.relay!.metrics.relay.connections).toBe(3), eventually);
  await a.reaches(b, "still here");
  expect(c.connection.state).not.toBe("ready");
  expect((await get(at, "/healthz-report")).json.errors[0]).toContain("its new token");
  expect(at.log.text).not.toContain(TOKEN.slice(40));
});

test.concurrent("a refusal that is not the primary's own says nothing about the token", async () => {
  await using primary = await newPrimary();
  await using at = await startProxy(primary);
  await primary.until(() => primary.statements.length === 1);
  primary.refusal = { status: 401, headers: { Server: "nginx" }, body: "<title>Sign in</title>" };
  await vi.waitFor(() => expect(at.proxy.report().warnings.join()).toContain("is not a Coder deployment"), eventually);
  expect(at.proxy.report().errors).toEqual([]);
});

test.concurrent("security R21: the public report of a proxy names no host, and the primary gets the details", async () => {
  await using primary = await newPrimary();
  const sibling = {
    created_at: "2026-01-01T00:00:00Z",
    region_id: 10_001,
    error: "",
    database_latency: 0,
    version: "v2",
  };
  primary.registration = {
    ...primary.registration,
    derp_mesh_key: MESH_KEY,
    sibling_replicas: [
      { ...sibling, id: randomUUID(), hostname: "inner-7", relay_address: "http://127.0.0.1:1" },
      { ...sibling, id: randomUUID(), hostname: "inner-8", relay_address: "http://127.0.0.1:2" },
    ],
  };
  await using at = await startProxy(primary);
  const report = async () => (await get(at, "/healthz-report")).text;
  await vi.waitFor(async () => expect(await report()).toContain("2 of 2 other processes"), eventually);
  expect(await report()).not.toMatch(/inner-|127\.0\.0\.1/);
  await primary.until(() => primary.statements.at(-1)?.replica_error.includes("inner-7") === true);

  await primary.goAway();
  await vi.waitFor(async () => expect(await report()).toContain("Registering with the primary has failed"), eventually);
  await vi.waitFor(async () => expect(await report()).toContain("there is no stream of relay keys"), eventually);
  expect(await report()).toContain("the primary was not reached");
  expect(await report()).not.toMatch(/inner-|127\.0\.0\.1|localhost/);
  expect(at.log.text).toContain("127.0.0.1");
});

test.concurrent("a token that is wrong from the start ends the proxy, with the next step and without the token", async () => {
  await using primary = await newPrimary();
  primary.token = `${TOKEN.slice(0, -1)}f`;
  await using at = await startProxy(primary);
  const failure = await at.proxy.failed;
  expect([failure.code, failure.title]).toEqual([
    "ERR_PROXY_TOKEN",
    `The deployment "${primary.url}" does not accept this proxy's token`,
  ]);
  expect(failure.nextSteps.join()).toContain("regenerate-token");
  expect(`${at.log.text}${JSON.stringify(failure)}`).not.toContain(TOKEN.slice(40));
});

test.concurrent("a primary that is itself a proxy ends the proxy", async () => {
  await using primary = await newPrimary();
  primary.isProxy = true;
  await using at = await startProxy(primary);
  expect((await at.proxy.failed).code).toBe("ERR_PRIMARY_IS_PROXY");
  expect(primary.statements).toEqual([]);
});

test.concurrent("a primary that names no clients leaves the relay open, which the report states", async () => {
  await using primary = await newPrimary();
  const { admission, ...stock } = primary.registration;
  expect(admission).toBe("stream");
  primary.registration = stock;
  await using at = await startProxy(primary, {}, { keyGraceMs: 50 });
  await using a = client(at);
  await using b = client(at);
  await Promise.all([a.ready(), b.ready()]);
  await a.reaches(b, "as stock");
  expect(at.proxy.report().warnings).toEqual([expect.stringContaining("every client may")]);
  expect(primary.streams.size).toBe(0);
  primary.registration = { ...stock, admission: "stream" };
  primary.snapshot = [{ snapshot: true, add: [a.key] }];
  await vi.waitFor(() => expect(at.proxy.relay!.isConnected(b.publicKey)).toBe(false), eventually);
  expect(at.proxy.relay!.isConnected(a.publicKey)).toBe(true);
});

test.concurrent("a new region id and a change to WebSockets only take effect without a restart", async () => {
  await using primary = await newPrimary();
  await using a = client();
  await using b = client();
  primary.snapshot = [{ snapshot: true, add: [a.key, b.key] }];
  await using at = await startProxy(primary);
  await a.dial(at.port).ready();
  expect(a.connection.transport).toBe("raw");
  primary.registration = { ...primary.registration, derp_force_websockets: true, derp_region_id: 20_001 };
  await vi.waitFor(() => expect(at.log.text).toContain("another region id"), eventually);
  await b.dial(at.port).ready();
  expect([a.connection.transport, b.connection.transport]).toEqual(["raw", "websocket"]);
  await b.reaches(a, "from a WebSocket");
});

test.concurrent("two processes of one proxy carry packets between their clients; a replaced token ends that", async () => {
  await using primary = await newPrimary();
  await using a = client();
  await using b = client();
  primary.snapshot = [{ snapshot: true, add: [a.key, b.key] }];
  await using left = await startProxy(primary);
  await using right = await startProxy(primary);
  const siblings = [left, right].map(({ proxy, url }) => ({
    id: proxy.replicaId,
    hostname: url,
    created_at: "2026-01-01T00:00:00Z",
    relay_address: url,
    region_id: 10_001,
    error: "",
    database_latency: 0,
    version: "v2.26.0",
  }));
  primary.registration = { ...primary.registration, derp_mesh_key: MESH_KEY, sibling_replicas: siblings };
  await Promise.all([a.dial(left.port).ready(), b.dial(right.port).ready()]);
  await a.reaches(b, "to the right");
  await b.reaches(a, "to the left");
  const members = (at: Started): number => at.proxy.relay!.metrics.relay.clients - 1;
  expect([members(left), members(right)]).toEqual([1, 1]);
  primary.token = `${TOKEN.slice(0, -1)}f`;
  for (const stream of primary.streams) stream.close(1008, "the token was replaced");
  await vi.waitFor(() => expect([members(left), members(right)]).toEqual([0, 0]), eventually);
});

test.concurrent("a message that breaks the protocol ends the stream, and the next one begins with all keys", async () => {
  await using primary = await newPrimary();
  await using a = client();
  primary.snapshot = [{ snapshot: true, add: [a.key] }];
  await using at = await startProxy(primary);
  await a.dial(at.port).ready();
  const [first] = primary.streams;
  first!.send('{"add":["zz"]}');
  await primary.until(() => !primary.streams.has(first!));
  await vi.waitFor(() => expect(primary.streams.size).toBe(1), eventually);
  expect(at.log.text).toContain("not understood");
  expect(at.proxy.relay!.isConnected(a.publicKey)).toBe(true);
});

test.concurrent("a stopping proxy deregisters first, and then asks clients to reconnect", async () => {
  await using primary = await newPrimary();
  await using a = client();
  primary.snapshot = [{ snapshot: true, add: [a.key] }];
  const at = await startProxy(primary);
  await a.dial(at.port).ready();
  await at.proxy.close();
  expect(primary.deregistered).toEqual([at.proxy.replicaId]);
  expect(at.proxy.relay!.metrics.relay.connections).toBe(0);
  await primary.until(() => primary.streams.size === 0);
});
