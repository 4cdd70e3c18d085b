import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { healthReport } from "coder-protocol/rest/deployment";
import { expect, test } from "vitest";
import { type AddrPort, ip } from "wg-userspace/base/ip";
import { derpMapOf, relayNode } from "wg-userspace/derp/map";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { StunListener } from "wg-userspace/io/probe/stun-server";
import { directRelayDialer } from "wg-userspace/io/relay/relay-dialer";
import { encodeBindingResponse, parseBindingRequest } from "wg-userspace/stun/message";
import type { ServerFlagValues } from "../src/config/flags.ts";
import { checkDerp } from "../src/health/derp.ts";
import { checkInterfaces } from "../src/health/interfaces.ts";
import { ProbeKeys } from "../src/relay/probe-keys.ts";
import { addMember, firstUser, send, startServer } from "./helpers.ts";

const start = (flags: ServerFlagValues = {}) =>
  startServer({
    flags: { "stun-address": "127.0.0.1:0", "derp-server-stun-addresses": "disable", ...flags },
  });

const health = async (url: string, token: string, query = "") =>
  (await send(url, "GET", `/api/v2/debug/health${query}`, { token })).json;

test("a healthy deployment: packets cross the relay, STUN answers, the WebSocket echoes", async () => {
  await using test = await start();
  const { token } = await firstUser(test.url);
  const body = await health(test.url, token);
  const report = healthReport.parse(body);
  expect(report).toMatchObject({
    healthy: true,
    access_url: { healthy: true, status_code: 200, healthz_response: "OK" },
    websocket: { healthy: true, code: 101 },
    database: { healthy: true, reachable: true },
    derp: { healthy: true },
  });
  expect(report.derp.regions["999"]).toMatchObject({
    healthy: true,
    severity: "ok",
    region: { RegionID: 999, EmbeddedRelay: true },
    node_reports: [
      {
        healthy: true,
        node: { Name: "999b" },
        can_exchange_messages: true,
        uses_websocket: false,
        round_trip_ping: expect.stringMatching(/^[\d.]+ms$/),
        stun: { Enabled: true, CanSTUN: true, Error: null },
      },
    ],
  });
  expect(body.derp.netcheck).toMatchObject({ UDP: true, IPv4: true, MappingVariesByDestIP: null });
  expect(body.interfaces.interfaces.length).toBeGreaterThan(0);
});

test("a deployment with a certificate of its own reaches itself: access URL, WebSocket, relay", async () => {
  const directory = mkdtempSync(join(tmpdir(), "health-tls-"));
  try {
    const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
    execFileSync(
      "openssl",
      // biome-ignore format: one option and its value a pair
      ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
      { stdio: "ignore" },
    );
    await using test = await start({
      "tls-enable": true,
      "tls-address": "127.0.0.1:0",
      "tls-cert-file": [cert],
      "tls-key-file": [key],
    });
    expect(test.server.parts.addresses.accessUrl().protocol).toBe("https:");
    const { token } = await firstUser(test.url);
    const report = await health(test.url, token);
    expect(report).toMatchObject({
      access_url: { healthy: true },
      websocket: { healthy: true },
      derp: { healthy: true },
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("the checks' keys are admitted by the relay only while they run", async () => {
  await using test = await start();
  const { probeKeys } = test.server.parts;
  const key = probeKeys.lend();
  expect(probeKeys.admits(key.publicKey)).toBe(true);
  expect(probeKeys.admits(new Uint8Array(32))).toBe(false);
  key.giveBack();
  expect(probeKeys.admits(key.publicKey)).toBe(false);
});

test("a report is reused until it is too old or a new one is requested, and only owners get it", async () => {
  await using test = await start({ "health-check-refresh": "5m" });
  const { token } = await firstUser(test.url);
  const time = async (query = "") => (await health(test.url, token, query)).time;
  const first = await time();
  test.clock.advance(60_000);
  expect(await time()).toBe(first);
  const forced = await time("?force=true");
  expect(forced).not.toBe(first);
  expect(await time()).toBe(forced);
  test.clock.advance(5 * 60_000);
  expect(await time()).not.toBe(forced);
  const bob = await addMember(test.url, token, "bob");
  expect((await send(test.url, "GET", "/api/v2/debug/health", { token: bob.token })).status).toBe(403);
});

test("concurrent requests share one run", async () => {
  await using test = await start();
  const { token } = await firstUser(test.url);
  // Every run fetches the access URL once.
  const runs = () => test.log.text.split("\n").filter((line) => line.includes('"path":"/healthz"')).length;
  await Promise.all([1, 2, 3].map(() => health(test.url, token, "?force=true")));
  expect(runs()).toBe(1);
  await health(test.url, token, "?force=true");
  expect(runs()).toBe(2);
});

test("each fault carries Coder's code: access URL, WebSocket, relay, STUN", async () => {
  const elsewhere = createServer((_request, response) => response.writeHead(503).end("busy"));
  await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  const { port } = elsewhere.address() as AddressInfo;
  await using test = await start({
    "access-url": `http://127.0.0.1:${port}`,
    "stun-address": "disable",
  });
  const { token } = await firstUser(test.url);
  const report = healthReport.parse(await health(test.url, token));
  expect(report).toMatchObject({ healthy: false, severity: "error" });
  expect(report.access_url).toMatchObject({
    healthy: false,
    reachable: true,
    error: expect.stringMatching(/^EACS04: /),
  });
  expect(report.websocket).toMatchObject({ healthy: false, code: 503, error: expect.stringMatching(/^EWS01: /) });
  expect(report.derp).toMatchObject({ healthy: false, severity: "error" });
  expect(report.derp.error).toMatch(/^EDERP02: no relay node of region 999 \(.*\) works: relay node \S+: .*503/);
  expect(report.derp.warnings.map((warning) => warning.code)).toEqual(["ESTUN01", "EDERP02"]);
  await new Promise((resolve) => elsewhere.close(resolve));
}, 30_000);

test("an access URL that cannot be reached is EACS03", async () => {
  await using test = await start({ "access-url": "http://127.0.0.1:9" });
  const { token } = await firstUser(test.url);
  const report = await health(test.url, token);
  expect(report.access_url).toMatchObject({ reachable: false, error: expect.stringMatching(/^EACS03: /) });
}, 30_000);

/** A map with only STUN servers, at loopback ports. */
const stunMap = (...ports: number[]) =>
  derpMapOf(
    ports.map((stunPort, index) => ({
      regionId: 1000 + index,
      regionCode: "",
      regionName: `STUN ${index}`,
      embeddedRelay: false,
      avoid: false,
      nodes: [relayNode({ name: `${index}`, regionId: 1000 + index, hostName: "127.0.0.1", stunPort, stunOnly: true })],
    })),
  );

/** A STUN server with scripted answers. */
async function lyingStun(mapped: AddrPort) {
  const socket = createSocket("udp4");
  socket.on("message", (datagram, from) => {
    const request = parseBindingRequest(datagram)!;
    socket.send(encodeBindingResponse(request.transactionId, mapped), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind({ address: "127.0.0.1", port: 0 }, resolve));
  return { port: socket.address().port, [Symbol.dispose]: () => void socket.close() };
}

/** @param stunTimeoutMs Long by default; short to wait for a silent server. */
const check = (map: ReturnType<typeof stunMap>, blockDirect = false, stunTimeoutMs = 10_000) =>
  checkDerp({
    map,
    keys: new ProbeKeys(),
    dialer: directRelayDialer,
    forceWebSocket: false,
    blockDirect,
    stunTimeoutMs,
  });

test("STUN servers that see different public ports mean a hard NAT: ESTUN02", async () => {
  using one = await lyingStun({ address: ip("203.0.113.5"), port: 1000 });
  using two = await lyingStun({ address: ip("203.0.113.5"), port: 2000 });
  const hard = await check(stunMap(one.port, two.port));
  expect(hard.warnings.map((warning) => warning.code)).toEqual(["ESTUN02"]);
  expect(hard).toMatchObject({ healthy: true, severity: "warning", netcheck: { MappingVariesByDestIP: true } });
  const easy = await check(stunMap(one.port, one.port));
  expect(easy.warnings).toEqual([]);
  expect(easy).toMatchObject({
    severity: "ok",
    netcheck: { MappingVariesByDestIP: false, GlobalV4: "203.0.113.5:1000" },
  });
});

test("our own STUN server inside the NAT does not prove a hard NAT", async () => {
  using outside = await lyingStun({ address: ip("203.0.113.5"), port: 1000 });
  await using inside = await StunListener.open({ host: "127.0.0.1", port: 0, random: nodeRandom });
  const report = await check(stunMap(outside.port, inside.port));
  expect(report.warnings).toEqual([]);
  expect(report.netcheck).toMatchObject({ MappingVariesByDestIP: null });
});

test("one silent STUN server is a warning on its region; if all are silent it is ESTUN01, unless direct connections are forbidden", async () => {
  using good = await lyingStun({ address: ip("203.0.113.5"), port: 1000 });
  const silent = createSocket("udp4");
  await new Promise<void>((resolve) => silent.bind({ address: "127.0.0.1", port: 0 }, resolve));
  const { port } = silent.address();
  const partly = await check(stunMap(good.port, port), false, 2_000);
  expect(partly.warnings).toEqual([]);
  expect(partly.regions["1001"]).toMatchObject({
    healthy: true,
    severity: "warning",
    node_reports: [{ stun: { CanSTUN: false, Error: `no answer from 127.0.0.1:${port} within 2 s` } }],
  });
  const none = await check(stunMap(port), false, 400);
  expect(none.warnings.map((warning) => warning.code)).toEqual(["ESTUN01"]);
  expect((await check(stunMap(port), true, 400)).warnings).toEqual([]);
  silent.close();
});

test("a relay behind something that refuses the raw upgrade is EDERP01, not broken", async () => {
  await using test = await start();
  // A proxy that supports only WebSocket: every other upgrade gets 400.
  const proxy = createServer();
  proxy.on("upgrade", (request, socket, head) => {
    socket.on("error", () => undefined); // a refused client may already be gone
    if (request.headers.upgrade?.toLowerCase() !== "websocket") {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    test.server.parts.relay!.upgradeRoutes[0]!.handle(request, socket, head);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const node = relayNode({
    name: "999b",
    regionId: 999,
    hostName: "127.0.0.1",
    derpPort: (proxy.address() as AddressInfo).port,
    forceHttp: true,
    stunPort: -1,
  });
  const region = {
    regionId: 999,
    regionCode: "",
    regionName: "Here",
    embeddedRelay: true,
    avoid: false,
    nodes: [node],
  };
  const options = {
    map: derpMapOf([region]),
    keys: test.server.parts.probeKeys,
    dialer: directRelayDialer,
    blockDirect: true,
  };
  const report = await checkDerp({ ...options, forceWebSocket: false });
  expect(report).toMatchObject({ healthy: true, severity: "warning", warnings: [{ code: "EDERP01" }] });
  expect(report.regions["999"]).toMatchObject({
    node_reports: [{ uses_websocket: true, can_exchange_messages: true }],
  });
  // If the administrator configured WebSocket, it is not reported.
  expect((await checkDerp({ ...options, dialer: directRelayDialer, forceWebSocket: true })).warnings).toEqual([]);
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
}, 30_000);

test("the relay does not carry a probe with unknown keys", async () => {
  await using test = await start();
  const node = relayNode({
    name: "999b",
    regionId: 999,
    hostName: "127.0.0.1",
    derpPort: test.port,
    forceHttp: true,
    stunPort: -1,
  });
  const region = {
    regionId: 999,
    regionCode: "",
    regionName: "Here",
    embeddedRelay: true,
    avoid: false,
    nodes: [node],
  };
  const report = await checkDerp({
    dialer: directRelayDialer,
    map: derpMapOf([region]),
    keys: new ProbeKeys(), // keys that the server does not know
    blockDirect: true,
    forceWebSocket: false,
    nodeTimeoutMs: 1_000,
  });
  expect(report).toMatchObject({ healthy: false, severity: "error" });
  expect(report.warnings.map((warning) => warning.code)).toEqual(["EDERP02"]);
}, 30_000);

test("an interface with an address and a small MTU is EIF01", async () => {
  const folder = mkdtempSync(join(tmpdir(), "net-"));
  const [own = "lo"] = Object.keys(networkInterfaces());
  for (const [name, mtu] of [
    [own, "1280\n"],
    ["without-address0", "1000\n"],
    ["odd0", "many\n"],
  ] as const) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, "mtu"), mtu);
  }
  const section = await checkInterfaces(folder);
  expect(section).toMatchObject({ healthy: true, severity: "warning" });
  expect(section.warnings).toEqual([{ code: "EIF01", message: expect.stringContaining(`${own} has MTU 1280`) }]);
  expect(await checkInterfaces(join(folder, "absent"))).toMatchObject({ severity: "ok", interfaces: [] });
  rmSync(folder, { recursive: true });
});
