/** The process that the port mapping and netcheck tests run inside a namespace; see RemoteScript for the protocol. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { formatAddrPort } from "../../src/base/ip.ts";
import { derpMapOf, relayNode } from "../../src/derp/map.ts";
import { bindStunSocket, runNetcheck } from "../../src/io/probe/netcheck.ts";
import { PortMapper } from "../../src/io/probe/port-mapper.ts";
import { directRelayDialer } from "../../src/io/relay/relay-dialer.ts";

type Request =
  | { readonly do: "map"; readonly port: number }
  | { readonly do: "refresh" | "received" | "unmap" }
  | { readonly do: "send"; readonly to: string; readonly port: number; readonly text: string }
  | { readonly do: "netcheck"; readonly servers: readonly string[] };

let socket: Socket | undefined;
let mapper: PortMapper | undefined;
let changes = 0;
const received: string[] = [];

async function handle(request: Request): Promise<Record<string, unknown>> {
  switch (request.do) {
    case "map": {
      socket = createSocket("udp4");
      socket.on("message", (datagram) => received.push(datagram.toString("latin1")));
      socket.bind(request.port);
      await once(socket, "listening");
      changes = 0;
      mapper = new PortMapper({ localPort: () => request.port, onChange: () => changes++ });
      await mapper.refresh();
      return state();
    }
    case "refresh":
      await mapper!.refresh();
      return state();
    case "received":
      if (received.length === 0) await once(socket!, "message", { signal: AbortSignal.timeout(5_000) });
      return { text: received.shift() };
    case "unmap":
      await mapper![Symbol.asyncDispose]();
      socket!.close();
      return state();
    case "send": {
      const sender = createSocket("udp4");
      await new Promise<void>((resolve) => sender.send(request.text, request.port, request.to, () => resolve()));
      sender.close();
      return {};
    }
    case "netcheck":
      return netcheck(request.servers);
  }
}

function state(): Record<string, unknown> {
  const external = mapper!.external;
  return { external: external === undefined ? "" : formatAddrPort(external), seen: mapper!.seen, changes };
}

async function netcheck(servers: readonly string[]): Promise<Record<string, unknown>> {
  await using probe = await bindStunSocket();
  const map = derpMapOf(
    servers.map((hostName, index) => {
      const regionId = index + 1;
      const node = relayNode({ name: `${regionId}s`, regionId, hostName, stunOnly: true });
      return { regionId, regionCode: "r", regionName: "R", embeddedRelay: false, avoid: false, nodes: [node] };
    }),
  );
  const signal = new AbortController().signal;
  const report = await runNetcheck({ map, socket: probe, dialer: directRelayDialer, measureRelays: false, signal });
  const { udp, mappingVariesByDestIp, globalV4, observations } = report;
  return {
    udp,
    varies: mappingVariesByDestIp ?? null,
    global: globalV4 === undefined ? "" : formatAddrPort(globalV4),
    answers: observations.length,
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer: Record<string, unknown>;
  try {
    answer = await handle(JSON.parse(line) as Request);
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
