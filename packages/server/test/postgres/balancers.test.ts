/** Several servers behind nginx and HAProxy with the files of deploy/cluster: how one answer affects later requests. */
import { once } from "node:events";
import { createServer, get, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { addWorkspace, send } from "../helpers.ts";
import { BALANCERS, INSTALLED, startProgram } from "./balancers.ts";
import { startCluster } from "./cluster-servers.ts";
import { freePort } from "./free-port.ts";

const REQUESTS = 8;

/** The status with which a host of the deployment answers. */
async function statusOf(url: string, host: string, path: string, token: string): Promise<number | undefined> {
  const request = get(new URL(path, url), { agent: false, headers: { Host: host, "Coder-Session-Token": token } });
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "end");
  return response.statusCode;
}

test.for(BALANCERS)("an app that answers 503 leaves every server in use behind $program", async (balancer, context) => {
  context.skip(!INSTALLED.has(balancer.program), `needs ${balancer.program}`);
  await using cluster = await startCluster({
    count: 2,
    flags: { "wildcard-access-url": "*.coder.localhost" },
    balancer: (ports) => startProgram(balancer, ports),
  });
  const { token, url } = cluster;
  const api = () => statusOf(url, new URL(url).host, "/api/v2/users/me", token);
  // HAProxy takes a server into use only after its first checks.
  await expect.poll(api, { timeout: 30_000 }).toBe(200);
  const { id } = await addWorkspace(url, token, "dev");
  await send(url, "POST", `/api/v2/workspaces/${id}/builds`, { token, body: { transition: "stop" } });
  for (let i = 0; i < REQUESTS; i++) {
    expect(await statusOf(url, "8080--main--dev--ada.coder.localhost", "/", token)).toBe(503);
    expect(await api()).toBe(200);
  }
});

test.for(BALANCERS)(
  "after all servers were away every control connection passes $program",
  async (balancer, context) => {
    context.skip(!INSTALLED.has(balancer.program), `needs ${balancer.program}`);
    const ports = [await freePort(), await freePort()];
    await using program = await startProgram(balancer, ports);
    await using dials = new Dials(program.url);
    for (let i = 0; i < REQUESTS; i++) expect(await dials.status()).toBeGreaterThanOrEqual(500);

    await using servers = new AsyncDisposableStack();
    for (const port of ports) servers.use(await startUpgrading(port));
    // No other request ends in between: a balancer may take the end of one as the sign that a server is back.
    await expect.poll(() => dials.status(), { timeout: 30_000 }).toBe(101);
    for (let i = 0; i < REQUESTS; i++) expect(await dials.status()).toBe(101);
  },
);

/** Connections that ask for an upgrade, and stay open when they get it. */
class Dials implements AsyncDisposable {
  readonly #url: string;
  readonly #open = new Set<Socket>();

  constructor(url: string) {
    this.#url = url;
  }

  /** Dials once; 101 if the upgrade was accepted. */
  status(): Promise<number | undefined> {
    const request = get(this.#url, { agent: false, headers: { Connection: "Upgrade", Upgrade: "DERP" } });
    return new Promise((resolve, reject) => {
      request.once("error", reject);
      request.once("response", (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.once("upgrade", (response, socket) => {
        socket.on("error", () => socket.destroy());
        this.#open.add(socket);
        resolve(response.statusCode);
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy();
  }
}

/** A server that accepts every upgrade and answers everything else with 200. */
async function startUpgrading(port: number): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer((_request, response) => void response.end());
  server.on("upgrade", (_request, socket: Socket) => {
    open.add(socket);
    socket.on("error", () => socket.destroy());
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n");
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
