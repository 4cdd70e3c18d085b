/** What happens to the token when a deployment or an intermediary redirects to another origin. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BrowserDeployment } from "../src/browser/deployment.ts";
import { openPipe } from "../src/browser/web-socket.ts";
import { dialRpc } from "../src/control/rpc-connection.ts";
import { Dialer } from "../src/dial/dialer.ts";
import { Deployment } from "../src/rest/deployment.ts";

const TOKEN = "aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb";
const STATUSES = [301, 302, 303, 307, 308] as const;
const signal = () => AbortSignal.timeout(20_000);

let folder: string;
let certificate: string;
/** The target of the redirects. Every connection is counted, whatever its protocol. */
let target: TcpServer;
let connections = 0;
const fronts: Server[] = [];
let status: number = STATUSES[0];
let location: string;
/** Whether the redirected requests carried the token. */
let carried: boolean[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "redirects-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  execFileSync(
    "openssl",
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost
     -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout ${key} -out ${cert}`.split(/\s+/),
    { stdio: "ignore" },
  );
  certificate = readFileSync(cert, "utf8");
  dialer = new Dialer({ tls: { ca: certificate }, environment: {} });
  target = createTcpServer((socket) => {
    connections++;
    socket.on("error", () => undefined); // the caller closed the connection
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
  });
  const redirect = (request: IncomingMessage, response: ServerResponse): void => {
    carried.push(request.headers["coder-session-token"] === TOKEN || (request.url ?? "").includes(TOKEN));
    request.resume();
    response.writeHead(status, { Location: location, Connection: "close" }).end();
  };
  fronts.push(createHttpServer(redirect), createHttpsServer({ key: readFileSync(key), cert: certificate }, redirect));
  for (const server of fronts) {
    server.on("upgrade", (request, socket) => {
      socket.on("error", () => undefined); // the client may close before it reads the answer
      carried.push(request.headers["coder-session-token"] === TOKEN || (request.url ?? "").includes(TOKEN));
      socket.end(
        `HTTP/1.1 ${status} Elsewhere\r\nLocation: ${location}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
      );
    });
  }
  for (const server of [target, ...fronts]) await once(server.listen(0, "127.0.0.1"), "listening");
});

afterAll(() => {
  dialer.close();
  for (const server of [target, ...fronts]) server.close();
  rmSync(folder, { recursive: true, force: true });
});

const portOf = (server: TcpServer): number => (server.address() as AddressInfo).port;

/** Number of connections before this one, which is accepted after them. */
async function connectionsSoFar(): Promise<number> {
  const before = connections;
  const socket = connect(portOf(target), "127.0.0.1");
  socket.resume();
  await once(socket, "close");
  expect(connections).toBeGreaterThan(before);
  return connections - 1;
}

let dialer: Dialer;
const deployment = (url: URL): Deployment => new Deployment({ url, token: TOKEN, dialer });

/**
 * Every way in which a token leaves this process. Browsers have their own trusted authorities, so they are tested by http only.
 */
const WAYS: readonly [string, (url: URL) => Promise<unknown>, secure: boolean][] = [
  ["REST, reading", (url) => deployment(url).call("/api/v2/users/me"), true],
  [
    "REST, writing",
    (url) => deployment(url).call("/api/v2/users/me/keys", { method: "POST", body: { name: "a" } }),
    true,
  ],
  [
    "an event stream",
    (url) => deployment(url).stream("/api/v2/workspaces/a/watch", { accept: "text/event-stream", signal: signal() }),
    true,
  ],
  ["the control connection", (url) => dialRpc(deployment(url), "/api/v2/tailnet", { signal: signal() }), true],
  ["REST of a page", (url) => new BrowserDeployment({ url, auth: { token: TOKEN } }).call("/api/v2/users/me"), false],
  [
    "a WebSocket of a page",
    (url) =>
      openPipe(new BrowserDeployment({ url, auth: { token: TOKEN } }).webSocketUrl("/api/v2/tailnet"), [], signal()),
    false,
  ],
];

it.each(WAYS)("security 6: %s follows no redirect to another origin", async (_name, ask, secure) => {
  const before = await connectionsSoFar();
  carried = [];
  let asked = 0;
  for (const from of secure ? (["http", "https"] as const) : (["http"] as const)) {
    const front = new URL(`${from}://127.0.0.1:${portOf(fronts[from === "http" ? 0 : 1]!)}`);
    for (const to of [`http://127.0.0.1`, `https://127.0.0.1`, `http://localhost`, `//127.0.0.1`]) {
      location = `${to}:${portOf(target)}/elsewhere`;
      for (status of STATUSES) {
        await expect(ask(front), `${from} → ${to}, ${status}`).rejects.toThrow();
        asked++;
      }
    }
  }
  expect(carried).toEqual(Array.from({ length: asked }, () => true));
  expect(await connectionsSoFar()).toBe(before + 1);
});

it("a refused redirect is named with its target", async () => {
  [status, location] = [307, "https://elsewhere.example/x"];
  const front = new URL(`http://127.0.0.1:${portOf(fronts[0]!)}`);
  await expect(deployment(front).call("/api/v2/users/me")).rejects.toMatchObject({
    code: "ERR_NOT_A_CODER_SERVER",
    status: undefined, // the redirecting host is not the deployment, so the login stays valid
    message: expect.stringContaining("it was 307 Temporary Redirect, a redirect to elsewhere.example"),
  });
});
