import { once } from "node:events";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { ip } from "wg-userspace/base/ip";
import { nodeCryptoSuite } from "wg-userspace/io/host/crypto-suite";
import type { TcpOptions } from "wg-userspace/netstack/tcp/options";
import { VirtualInternet } from "wg-userspace/testing/internet";
import { type VirtualNode, VirtualTunnel } from "wg-userspace/testing/virtual-tunnel";
import { appDialer } from "./app-dialer.ts";
import type { AppDecision } from "./decision.ts";

const SECOND = 1_000;
const decision = { target: { agentId: "a", port: 80 } } as unknown as AppDecision;

test("a tunnel is released when its connection ends, even one that was reset in the turn in which it was opened", async () => {
  let users = 0;
  const streams = [new PassThrough(), new PassThrough().destroy()];
  const dial = appDialer(
    {
      acquire: async () => {
        users++;
        return { connection: { dial: async () => streams.shift()! }, release: () => void users-- };
      },
    },
    "token",
  );
  const open = await dial(decision, AbortSignal.timeout(10_000));
  expect(users).toBe(1);
  await once(streams[0]!, "close");
  await dial(decision, AbortSignal.timeout(10_000));
  expect(users).toBe(1);
  await once(open.destroy(), "close");
  expect(users).toBe(0);
});

/** Two machines of a simulated internet, and a connection from the server to a program that reads and writes nothing. */
async function silentConnection() {
  const dialled: TcpOptions[] = [];
  const dial = async (_port: number, options: TcpOptions) => {
    dialled.push(options);
    return new PassThrough();
  };
  const tunnels = { acquire: async () => ({ connection: { dial }, release: () => undefined }) };
  (await appDialer(tunnels, "token")(decision, AbortSignal.timeout(10_000))).destroy();
  const [options = {}] = dialled;

  const internet = new VirtualInternet(1, { delayMs: 10, hops: 1 });
  const net = new VirtualTunnel(internet, nodeCryptoSuite);
  const [server, agent] = ["198.51.100.1", "198.51.100.2"].map((address) =>
    net.addNode({ segment: internet.core, addresses: [ip(address)] }),
  ) as [VirtualNode, VirtualNode];
  net.introduce(server, agent);
  agent.engine.netstack.listenTcp({ port: 80 }, { onRequest: (request) => void request.accept({}, net.now) });
  const stream = server.engine.netstack.connectTcp({ address: agent.tunnelAddress, port: 80 }, options, net.now);
  const closed: unknown[] = [];
  stream.handler.onClosed = (error) => void closed.push(error?.code);
  expect(net.run(10 * SECOND, () => stream.info.state === "ESTABLISHED")).toBe(true);
  net.run(10 * SECOND);
  return { net, agent, stream, closed };
}

test("a connection on which nothing passes ends within two minutes after its agent vanished", async () => {
  const { net, agent, closed } = await silentConnection();
  net.run(600 * SECOND);
  expect(closed).toEqual([]);
  agent.host.frozen = true;
  net.run(125 * SECOND);
  expect(closed).toEqual(["ERR_CONNECTION_TIMEOUT"]);
});

test("one on which something was sent ends within a minute or so", async () => {
  const { net, agent, stream, closed } = await silentConnection();
  agent.host.frozen = true;
  stream.write(Buffer.from("GET"));
  net.run(75 * SECOND);
  expect(closed).toEqual(["ERR_CONNECTION_TIMEOUT"]);
});

test("it outlives a shorter outage, and a program that is silent for an hour", async () => {
  const { net, agent, closed } = await silentConnection();
  agent.host.frozen = true;
  net.run(50 * SECOND);
  agent.host.frozen = false;
  net.run(3_600 * SECOND);
  expect(closed).toEqual([]);
});
