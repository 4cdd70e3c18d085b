import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLogger } from "../../src/base/log.ts";
import { PostgresBackend } from "../../src/db/postgres/backend.ts";
import { Target } from "../../src/db/postgres/target.ts";
import { TextCollector, temporaryDirectory } from "../helpers.ts";

const folder = temporaryDirectory();
const file = (name: string): string => join(folder, name);
let server: Server;
let reached = 0;

/** Answers only PostgreSQL's request for TLS: a client that accepts the certificate is counted, and its login is refused. */
beforeAll(async () => {
  for (const [name, subject] of [
    ["right", "/CN=localhost"],
    ["stranger", "/CN=localhost"],
  ] as const) {
    const how =
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -addext subjectAltName=DNS:localhost";
    execFileSync(
      "openssl",
      [...how.split(" "), "-subj", subject, "-keyout", file(`${name}.key`), "-out", file(`${name}.pem`)],
      { stdio: "ignore" },
    );
  }
  const [key, cert] = [readFileSync(file("right.key")), readFileSync(file("right.pem"))];
  server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => {
      socket.write("S");
      const secure = new TLSSocket(socket, { isServer: true, key, cert });
      secure.on("error", () => secure.destroy());
      secure.once("data", () => {
        reached++;
        const text = "SFATAL\0C28P01\0Mno\0\0";
        const head = Buffer.from([0x45, 0, 0, 0, 4 + text.length]);
        secure.end(Buffer.concat([head, Buffer.from(text)]));
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

/** Whether the connection reached the login. */
async function connects(host: string, parameters: string): Promise<boolean> {
  const before = reached;
  const { port } = server.address() as AddressInfo;
  const log = createLogger({ sink: new TextCollector(), level: "error", format: "json" });
  const source = { url: `postgres://me:x@${host}:${port}/db?${parameters}` };
  const opened = PostgresBackend.open({ source, maxOpen: 2, maxIdle: 0, applicationName: "test", log });
  await expect(opened).rejects.toMatchObject({ code: "ERR_STORE_UNREACHABLE" });
  return reached > before;
}

test("security R2: verify-full checks authority and name, verify-ca the authority, require nothing", async () => {
  const ca = `sslrootcert=${file("right.pem")}`;
  const other = `sslrootcert=${file("stranger.pem")}`;
  expect(await connects("localhost", `sslmode=verify-full&${ca}`)).toBe(true);
  expect(await connects("127.0.0.1", `sslmode=verify-full&${ca}`)).toBe(false);
  expect(await connects("localhost", `sslmode=verify-full&${other}`)).toBe(false);
  expect(await connects("localhost", "sslmode=verify-full")).toBe(false);
  expect(await connects("127.0.0.1", `sslmode=verify-ca&${ca}`)).toBe(true);
  expect(await connects("localhost", `sslmode=verify-ca&${other}`)).toBe(false);
  expect(await connects("127.0.0.1", "sslmode=require")).toBe(true);
  expect(await connects("localhost", `sslmode=require&${other}`)).toBe(false);
});

test.each([
  ["postgres://me@db/x", "not encrypted"],
  ["postgres://me@db/x?sslmode=disable", "not encrypted"],
  ["postgres://me@db/x?sslmode=require", "not verified"],
  ["postgres://me@db/x?sslmode=verify-full", undefined],
  ["postgres://me@127.0.0.1/x", undefined],
  ["postgres://me@127.0.0.1,db/x", "not encrypted"],
])("security R2: %s warns that the connection is: %s", (url, warning) => {
  expect(new Target({ url }).warning() ?? "").toContain(warning ?? "");
  expect(new Target({ url }).warning() === undefined).toBe(warning === undefined);
});
