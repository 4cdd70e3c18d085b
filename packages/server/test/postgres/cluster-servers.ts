/** Servers on one database, and a balancer before them. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { ServerFlagValues } from "../../src/config/flags.ts";
import { startServer, type TestServer } from "../helpers.ts";

export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** A server whose relay the others reach. Those with one state directory, which stands for database and key file, are one deployment. */
export async function startReplica(stateDir: string, flags: ServerFlagValues = {}): Promise<TestServer> {
  const port = await freePort();
  return await startServer({
    stateDir,
    keep: true,
    flags: { "http-address": `127.0.0.1:${port}`, "derp-server-relay-url": `http://127.0.0.1:${port}`, ...flags },
  });
}

/** Gives each connection to the next of `ports`, which may be filled later. */
export async function startBalancer(ports: readonly number[]) {
  const open = new Set<Socket>();
  let next = 0;
  const balancer = createServer((client) => {
    const server = connect({ host: "127.0.0.1", port: ports[next++ % ports.length]! });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      open.add(socket);
      socket.on("error", () => undefined); // the close follows
      socket.once("close", () => {
        open.delete(socket);
        other.destroy();
      });
    }
    client.pipe(server).pipe(client);
  });
  await new Promise<void>((resolve) => balancer.listen(0, "127.0.0.1", resolve));
  const { port } = balancer.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => balancer.close(resolve));
    },
  };
}
