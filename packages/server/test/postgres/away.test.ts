import { writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createLogger } from "../../src/base/log.ts";
import { parseServerConfig } from "../../src/config/parse.ts";
import { createServer as createCoder } from "../../src/server.ts";
import { addWorkspace, firstUser, send, startServer, TextCollector } from "../helpers.ts";
import { freePort } from "./free-port.ts";
import { emptyDatabase } from "./helpers.ts";

/**
 * Forwards connections to the tier's PostgreSQL until the test closes it: open connections then end, and new ones are refused.
 */
class Gate implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();
  readonly #target: { host: string; port: number };
  #server: Server | undefined;
  #port = 0;

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#target = { host: hostname, port: Number(port) };
  }

  async open(): Promise<void> {
    const server = createServer((socket) => {
      const onwards = connect(this.#target);
      for (const one of [socket, onwards]) {
        this.#sockets.add(one);
        one.on("error", () => one.destroy());
        one.on("close", () => this.#sockets.delete(one));
      }
      socket.on("close", () => onwards.destroy());
      onwards.on("close", () => socket.destroy());
      socket.pipe(onwards).pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    const address = server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : 0;
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  through(url: string): string {
    const changed = new URL(url);
    changed.port = String(this.#port);
    return changed.href;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

test("while the database is away requests get 503 and the server keeps running; afterwards it continues on its own", async () => {
  await using database = await emptyDatabase();
  await using gate = new Gate(database.url);
  await gate.open();
  await using server = await startServer({ store: "sqlite", flags: { "postgres-url": gate.through(database.url) } });
  const { token } = await firstUser(server.url);
  const workspaces = () => send(server.url, "GET", "/api/v2/workspaces", { token });
  expect((await send(server.url, "GET", "/readyz")).text).toBe("OK");
  for (let round = 0; round < 2; round++) {
    await gate.close();
    const answers = await Promise.all([workspaces(), workspaces(), workspaces()]);
    for (const { status, json, headers } of answers) {
      expect([status, json.message, headers["retry-after"]]).toEqual([503, "The database does not answer.", "1"]);
    }
    const write = { token, body: { name: "not-now" } };
    expect((await send(server.url, "POST", "/api/v2/users/me/workspaces", write)).status).toBe(503);
    const ready = await send(server.url, "GET", "/readyz");
    expect([ready.status, ready.text]).toEqual([503, "The database does not answer."]);
    expect((await send(server.url, "GET", "/healthz")).status).toBe(200);
    await gate.open();
    expect((await workspaces()).status).toBe(200);
    await addWorkspace(server.url, token, `round-${round}`);
  }
  expect((await workspaces()).json.count).toBe(2);
  expect(server.log.text).toContain("the database answers again");
});

test("of several hosts the one that serves is used, and another once that one is gone", async () => {
  await using database = await emptyDatabase();
  await using first = new Gate(database.url);
  await using second = new Gate(database.url);
  await first.open();
  await second.open();
  const [one, two] = [new URL(first.through(database.url)), new URL(second.through(database.url))];
  const url = database.url.replace(/@[^/]+/, `@127.0.0.1:1,${one.host},${two.host}`);
  await using server = await startServer({ store: "sqlite", flags: { "postgres-url": url } });
  await firstUser(server.url);
  await first.close();
  expect((await send(server.url, "GET", "/api/v2/users/first")).status).toBe(200);
});

test("a server that waits for its database is alive but not ready, and starts once the database is there", async () => {
  await using database = await emptyDatabase();
  await using gate = new Gate(database.url);
  await gate.open();
  const postgres = gate.through(database.url);
  await gate.close();
  const port = await freePort();
  const log = new TextCollector();
  const settings = {
    "state-dir": database.directory,
    "http-address": `127.0.0.1:${port}`,
    "stun-address": "disable",
    "derp-server-stun-addresses": "disable",
    "postgres-url": postgres,
  };
  const config = parseServerConfig(settings, { homeDir: database.directory });
  const starting = createCoder(config, { log: createLogger({ sink: log, level: "info", format: "json" }) });
  const url = `http://127.0.0.1:${port}`;
  const ask = (path: string) => send(url, "GET", path).catch(() => undefined);
  await expect.poll(async () => (await ask("/readyz"))?.text, { timeout: 60_000 }).toBe("waiting for the database");
  expect((await ask("/healthz"))?.status).toBe(200);
  expect((await ask("/api/v2/buildinfo"))?.status).toBe(503);
  await gate.open();
  await using server = await starting;
  await server.listen();
  expect((await send(url, "GET", "/readyz")).text).toBe("OK");
});

test("a URL in a file is read again for each connection", async () => {
  await using database = await emptyDatabase();
  await using gate = new Gate(database.url);
  await gate.open();
  const file = join(database.directory, "url");
  writeFileSync(file, `${gate.through(database.url)}\nsecond line`);
  await using server = await startServer({ store: "sqlite", flags: { "postgres-url-file": file } });
  await firstUser(server.url);
  writeFileSync(file, database.url);
  await gate.close();
  expect((await send(server.url, "GET", "/api/v2/users/first")).status).toBe(200);
});
