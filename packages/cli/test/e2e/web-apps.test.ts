/** Web apps of a real workspace: browser → server → tunnel → agent → program, each in its own process. */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createNetServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { TestDeployment } from "./deployment.ts";

/** RFC 6455 §1.3. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const MIB = 1024 * 1024;

const PATIENCE = { timeout: 60_000, interval: 200 };

let deployment: TestDeployment;
let program: Server;
let port: number;
let token: string;

beforeAll(async () => {
  deployment = await TestDeployment.start(undefined, undefined, [
    "--wildcard-access-url",
    "*.coder.localhost",
    "--max-share-level",
    "public",
  ]);
  token = readFileSync(join(deployment.folder, "config/owner/session"), "utf8").trim();
  program = createServer(async (request, response) => {
    if (request.url === "/hash") {
      const hash = createHash("sha256");
      for await (const chunk of request) hash.update(chunk as Buffer);
      response.end(hash.digest("hex"));
    } else if (request.url === "/events") {
      response.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 1\n\n");
    } else response.end(`program ${request.method} ${request.url}`);
  });
  program.on("upgrade", (request, socket) => {
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}${GUID}`).digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on("error", () => undefined).pipe(socket); // echoing the client's frames unchanged is good enough here
  });
  await new Promise<void>((resolve) => program.listen(0, "127.0.0.1", resolve));
  port = (program.address() as AddressInfo).port;
  deployment.startAgent(await deployment.createWorkspace("dev"));
  await vi.waitFor(async () => expect((await ask("/", { token })).status).toBe(200), {
    timeout: 60_000,
    interval: 200,
  });
}, 120_000);

afterAll(async () => {
  program.closeAllConnections();
  program.close();
  await deployment.close();
});

function host(what: string | number = port): string {
  return `${what}--main--dev--owner.coder.localhost:${new URL(deployment.url).port}`;
}

function begin(
  path: string,
  options: { host?: string; method?: string; headers?: Record<string, string>; token?: string },
) {
  const request = httpRequest({
    host: "127.0.0.1",
    port: new URL(deployment.url).port,
    path,
    method: options.method ?? "GET",
    headers: { Host: options.host ?? host(), ...options.headers },
  });
  if (options.token !== undefined) request.setHeader("Coder-Session-Token", options.token);
  return request;
}

async function ask(path: string, options: Parameters<typeof begin>[1] = {}) {
  const request = begin(path, options).end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, headers: response.headers, text };
}

test("a port of the workspace is served at a name of its own, to its owner alone", async () => {
  expect((await ask("/a%2Fb?x", { token })).text).toBe("program GET /a%2Fb?x");
  const anonymous = await ask("/", { headers: { "Sec-Fetch-Mode": "cors" } });
  expect([anonymous.status, JSON.parse(anonymous.text).url]).toEqual([401, `http://${host()}/`]);
  const offered = await deployment.api("GET", "/api/v2/applications/host");
  expect(await offered.json()).toEqual({ host: `*.coder.localhost:${new URL(deployment.url).port}` });
});

test("a browser signs in once for a host, and a ticket is worth nothing the second time", async () => {
  const navigate = { Accept: "text/html", "Sec-Fetch-Mode": "navigate" };
  const cookie = (answer: { headers: IncomingMessage["headers"] }) =>
    answer.headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
  const path = (location: string | undefined) => (location ?? "").replace(/^http:\/\/[^/]+/, "");
  const first = await ask("/page", { headers: navigate });
  const main = new URL(deployment.url).host;
  const decided = await ask(path(first.headers.location), { host: main, token });
  const ticket = { headers: { ...navigate, Cookie: cookie(first) } };
  const back = await ask(path(decided.headers.location), ticket);
  expect([back.status, path(back.headers.location)]).toEqual([303, "/page"]);
  expect((await ask("/page", { headers: { Cookie: cookie(back) } })).text).toBe("program GET /page");
  expect((await ask(path(decided.headers.location), ticket)).status).toBe(400);
});

test("32 MiB go up and arrive whole", async () => {
  const request = begin("/hash", { method: "POST", token });
  const answered = once(request, "response") as Promise<[IncomingMessage]>;
  const chunk = randomBytes(MIB);
  const hash = createHash("sha256");
  for (let i = 0; i < 32; i++) {
    hash.update(chunk);
    if (!request.write(chunk)) await once(request, "drain");
  }
  request.end();
  const [response] = await answered;
  let text = "";
  for await (const part of response) text += String(part);
  expect(text).toBe(hash.digest("hex"));
});

test("WebSockets and events flow, until the share that they rest on is taken back", async () => {
  const share = async (body: object) => {
    const id = (await (await deployment.api("GET", "/api/v2/users/me/workspace/dev")).json()) as { id: string };
    return await deployment.api("POST", `/api/v2/workspaces/${id.id}/port-share`, {
      agent_name: "main",
      port,
      ...body,
    });
  };
  expect((await share({ share_level: "public" })).status).toBe(200);
  const handshake = {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AA==",
  };
  const [, socket] = (await once(begin("/", { headers: handshake }).end(), "upgrade")) as [IncomingMessage, Socket];
  const sent = randomBytes(MIB);
  const received: Buffer[] = [];
  const arrived = new Promise<void>((resolve) => {
    let size = 0;
    socket.on("data", (part: Buffer) => {
      received.push(part);
      size += part.length;
      if (size >= sent.length) resolve();
    });
  });
  socket.on("error", () => undefined).write(sent);
  await arrived;
  expect(Buffer.concat(received).equals(sent)).toBe(true);
  const [events] = (await once(begin("/events", {}).end(), "response")) as [IncomingMessage];
  const [event] = (await once(events, "data")) as [Buffer];
  expect(event.toString()).toBe("data: 1\n\n");
  const ended = [
    once(socket, "close"),
    new Promise((resolve) => events.on("error", () => undefined).on("close", resolve)),
  ];
  expect((await share({ share_level: "owner" })).status).toBe(200);
  await Promise.all(ended);
  expect((await ask("/")).status).toBe(401);
});

test("a share ends at its time", async () => {
  const workspace = (await (await deployment.api("GET", "/api/v2/users/me/workspace/dev")).json()) as { id: string };
  const body = {
    agent_name: "main",
    port,
    share_level: "public",
    expires_at: new Date(Date.now() + 3_000).toISOString(),
  };
  expect((await deployment.api("POST", `/api/v2/workspaces/${workspace.id}/port-share`, body)).status).toBe(200);
  expect((await ask("/")).status).toBe(200);
  await expect.poll(async () => (await ask("/")).status, { timeout: 20_000 }).toBe(401);
});

async function secureProgram(): Promise<{ at: number; close: () => Promise<unknown> }> {
  const [key, cert] = [join(deployment.folder, "key.pem"), join(deployment.folder, "cert.pem")];
  const made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  execFileSync("openssl", [...made.split(" "), "-keyout", key, "-out", cert], { stdio: "ignore" });
  const secure = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, (_request, response) =>
    response.end("over TLS"),
  );
  await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
  return {
    at: (secure.address() as AddressInfo).port,
    close: () => {
      secure.closeAllConnections();
      return new Promise((resolve) => secure.close(resolve));
    },
  };
}

test("ports of a workspace are listed with what they speak, and programs that are not shared are left alone", async () => {
  const [secure, unshared] = [await secureProgram(), createNetServer()];
  let connections = 0;
  unshared.on("connection", (socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => unshared.listen(0, "127.0.0.1", resolve));
  const unsharedPort = (unshared.address() as AddressInfo).port;
  const suffix = `coder.localhost:${new URL(deployment.url).port}`;
  const shared = await deployment.run(["apps", "share", "dev", String(port), "--label", "demo"]);
  expect([shared.code, shared.stderr]).toEqual([
    0,
    expect.stringContaining(`It is opened at http://${port}--main--dev--owner.${suffix}/`),
  ]);
  // The first answer does not wait for a slow program; a later one has the result.
  await vi.waitFor(async () => {
    const wrong = await deployment.run(["apps", "share", "dev", String(secure.at)]);
    expect([wrong.code, wrong.stderr]).toEqual([0, expect.stringContaining(`share it as ${secure.at}s`)]);
  }, PATIENCE);
  const level = { share_level: "authenticated", effective_level: "authenticated" };
  await vi.waitFor(async () => {
    const listed = await deployment.run(["apps", "ports", "dev", "--output", "json"]);
    const rows = JSON.parse(listed.stdout) as { port: number }[];
    const row = (wanted: number) => rows.find((one) => one.port === wanted);
    expect(row(port)).toMatchObject({ listening: true, kind: "http", label: "demo", ...level });
    expect(row(secure.at)).toMatchObject({
      kind: "https",
      protocol: "http",
      address: `http://${secure.at}s--main--dev--owner.${suffix}/`,
    });
    expect(row(unsharedPort)).toMatchObject({ listening: true, kind: null, share_level: null });
  }, PATIENCE);
  expect(connections).toBe(0);
  const table = await deployment.run(["apps", "ports", "dev"]);
  expect(table.stdout).toContain("https (shared as http)");
  for (const one of [port, secure.at]) await deployment.run(["apps", "share", "dev", String(one), "--level", "owner"]);
  await secure.close();
  await new Promise((resolve) => unshared.close(resolve));
});

test("a program that speaks https with a certificate of its own making, and ports where nothing listens", async () => {
  const secure = await secureProgram();
  const securePort = secure.at;
  expect((await ask("/", { host: host(`${securePort}s`), token })).text).toBe("over TLS");
  await secure.close();
  const nothing = await ask("/", { host: host(securePort), token });
  expect([nothing.status, nothing.text]).toEqual([
    502,
    expect.stringContaining(`Nothing Listens on Port ${securePort}`),
  ]);
  const ports = await ask("/", { host: host(4), token });
  expect(ports.status).toBe(400);
});
