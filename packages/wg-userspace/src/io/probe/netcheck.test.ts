import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { formatAddrPort, ip } from "../../base/ip.ts";
import { derpMapOf, relayNode } from "../../derp/map.ts";
import { encodeBindingResponse, parseBindingRequest } from "../../stun/message.ts";
import { directRelayDialer } from "../relay/relay-dialer.ts";
import { bindStunSocket, runNetcheck } from "./netcheck.ts";

const servers: Socket[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A STUN server that answers with the address of `mapped`. */
async function stunServer(mapped: (port: number) => number = (port) => port, answers = true): Promise<number> {
  const socket = createSocket("udp4");
  servers.push(socket);
  socket.on("message", (datagram, from) => {
    const request = parseBindingRequest(datagram);
    if (request === undefined || !answers) return;
    const reply = encodeBindingResponse(request.transactionId, { address: ip("203.0.113.9"), port: mapped(from.port) });
    socket.send(reply, from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return (socket.address() as AddressInfo).port;
}

function mapOf(...ports: readonly number[]) {
  return derpMapOf(
    ports.map((stunPort, i) => ({
      regionId: i + 1,
      regionCode: "r",
      regionName: "R",
      embeddedRelay: false,
      avoid: false,
      nodes: [relayNode({ name: `${i + 1}s`, regionId: i + 1, hostName: "127.0.0.1", stunOnly: true, stunPort })],
    })),
  );
}

async function check(map: ReturnType<typeof mapOf>, limitMs = 5_000) {
  await using socket = await bindStunSocket();
  const early: string[] = [];
  const report = await runNetcheck({
    map,
    socket,
    dialer: directRelayDialer,
    measureRelays: true,
    limitMs,
    onMapped: (mapped) => early.push(formatAddrPort(mapped)),
    signal: new AbortController().signal,
  });
  return { report, early };
}

it("an easy NAT: every server sees the same port", async () => {
  const { report, early } = await check(mapOf(await stunServer(() => 4444), await stunServer(() => 4444)));
  expect(report).toMatchObject({ udp: true, ipv4: true, ipv4CanSend: true, mappingVariesByDestIp: false });
  expect(formatAddrPort(report.globalV4!)).toBe("203.0.113.9:4444");
  expect(early).toEqual(["203.0.113.9:4444", "203.0.113.9:4444"]);
});

it("a hard NAT: another port for another server", async () => {
  let next = 5000;
  const { report } = await check(mapOf(await stunServer(() => next++), await stunServer(() => next++)));
  expect(report.mappingVariesByDestIp).toBe(true);
  expect(report.observations).toHaveLength(2);
});

it("no answer at all means no UDP, and the run ends on its own", async () => {
  const { report } = await check(mapOf(await stunServer(undefined, false)));
  expect(report).toMatchObject({ udp: false, ipv4: false, ipv4CanSend: true, mappingVariesByDestIp: undefined });
  expect(report.globalV4).toBeUndefined();
});

it("names that do not resolve affect only themselves", async () => {
  const map = mapOf(await stunServer(() => 1234));
  const broken = relayNode({ name: "x", regionId: 9, hostName: "stun.invalid", stunOnly: true });
  const regions = [...map.regions.values(), { ...map.regions.get(1)!, regionId: 9, nodes: [broken] }];
  const { report, early } = await check(derpMapOf(regions));
  expect(early).toEqual(["203.0.113.9:1234"]);
  expect(report.udp).toBe(true);
});

/** Our own server under a name, and public ones; no name ever resolves. */
async function checkWithoutDns(addressesOf: (host: string) => readonly string[]) {
  const ours = await stunServer(() => 4321);
  const map = derpMapOf(
    ["public-a.test", "public-b.test", "own.test"].map((hostName, i) => ({
      regionId: i + 1,
      regionCode: "r",
      regionName: "R",
      embeddedRelay: false,
      avoid: false,
      nodes: [relayNode({ name: `${i + 1}s`, regionId: i + 1, hostName, stunOnly: i < 2, stunPort: ours })],
    })),
  );
  const asked: string[] = [];
  await using socket = await bindStunSocket();
  const report = await runNetcheck({
    map,
    socket,
    dialer: { connect: () => Promise.reject(new Error("not measured")), addressesOf },
    measureRelays: false,
    resolveName: (name) => {
      asked.push(name);
      return new Promise(() => undefined);
    },
    signal: new AbortController().signal,
  });
  return { report, asked };
}

it("our own STUN server is probed at the deployment's address, however slowly names resolve", async () => {
  const { report, asked } = await checkWithoutDns((host) => (host === "own.test" ? ["127.0.0.1"] : []));
  expect(report).toMatchObject({ udp: true, ipv4CanSend: true, unresolvedNames: ["public-a.test", "public-b.test"] });
  expect(formatAddrPort(report.globalV4!)).toBe("203.0.113.9:4321");
  expect(asked[0]).toBe("own.test");
});

it("unresolved names are reported as such, and nothing is sent to them", async () => {
  const { report } = await checkWithoutDns(() => []);
  expect(report).toMatchObject({ udp: false, ipv4CanSend: false, ipv6CanSend: false });
  expect(report.unresolvedNames).toEqual(["own.test", "public-a.test", "public-b.test"]);
});

it("an aborted run rejects with the reason", async () => {
  const abort = new AbortController();
  await using socket = await bindStunSocket();
  const running = runNetcheck({
    map: mapOf(await stunServer(undefined, false)),
    socket,
    dialer: directRelayDialer,
    measureRelays: false,
    signal: abort.signal,
  });
  abort.abort(new Error("enough"));
  await expect(running).rejects.toThrow("enough");
});
