/** Servers on one database, with a balancer in front. */
import { rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { ServerFlagValues } from "../../src/config/flags.ts";
import { firstUser, startServer, type TestServer, temporaryDirectory } from "../helpers.ts";
import type { Balancer } from "./balancers.ts";
import { freePort } from "./free-port.ts";
import { dropTestDatabase } from "./test-database.ts";

/** Forwards each connection to the next of `ports`. */
export async function startBalancer(ports: readonly number[]): Promise<Balancer> {
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

export interface ClusterOptions {
  readonly count: number;
  readonly flags?: ServerFlagValues;
  /** Additional settings of the last server. */
  readonly lastFlags?: ServerFlagValues;
  /** Starts what is in front of the servers at these ports, which listen later. Default: startBalancer. */
  readonly balancer?: (ports: readonly number[]) => Promise<Balancer>;
}

export interface TestCluster extends AsyncDisposable {
  readonly servers: readonly TestServer[];
  readonly url: string;
  /** The token of the first user, who is an owner of the deployment. */
  readonly token: string;
}

/** Starts servers of one deployment, whose access URL is the balancer's. */
export async function startCluster({ count, flags, lastFlags, balancer }: ClusterOptions): Promise<TestCluster> {
  await using started = new AsyncDisposableStack();
  const stateDir = temporaryDirectory();
  started.defer(async () => {
    await dropTestDatabase(stateDir);
    rmSync(stateDir, { recursive: true, force: true });
  });
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  const { url } = started.use(await (balancer ?? startBalancer)(ports));
  const servers: TestServer[] = [];
  for (const port of ports) {
    const isLast = servers.length === count - 1;
    servers.push(
      started.use(
        await startServer({
          stateDir,
          keep: true,
          flags: {
            "http-address": `127.0.0.1:${port}`,
            "derp-server-relay-url": `http://127.0.0.1:${port}`,
            "access-url": url,
            ...(isLast ? { ...flags, ...lastFlags } : flags),
          },
        }),
      ),
    );
  }
  const { token } = await firstUser(servers[0]!.url);
  const all = started.move();
  return { servers, url, token, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
