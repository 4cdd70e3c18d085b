/** Terminals and web apps through `coder wsproxy server`, with a real deployment and agent. */
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";

const eventually = { timeout: 30_000, interval: 100 };

let deployment: TestDeployment;
let agentId: string;
let port: number;
let token: string;
let proxy: ChildProcess;
let log = "";
/** A program in the workspace: the agent runs on this machine. */
const program = createServer((request, response) => {
  response.write(`an app at ${request.url}`);
  if (request.url !== "/open") response.end();
});

async function json<Body>(answer: Promise<Response>): Promise<Body> {
  return (await (await answer).json()) as Body;
}

async function report(): Promise<{ errors: string[]; warnings: string[] }> {
  return await json(fetch(`http://127.0.0.1:${port}/healthz-report`));
}

/** A terminal at the proxy, opened as a dashboard page opens it. */
class Terminal {
  output = "";
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #socket: WebSocket;

  private constructor(path: string) {
    this.#socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("message", ({ data }) => {
      this.output += Buffer.from(data as ArrayBuffer).toString("latin1");
    });
    this.closed = new Promise((resolve) =>
      this.#socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason })),
    );
  }

  static async open(login = deployment.ownerToken): Promise<Terminal> {
    const path = `/api/v2/workspaceagents/${agentId}/pty`;
    const answer = await fetch(`${deployment.url}/api/v2/applications/reconnecting-pty-signed-token`, {
      method: "POST",
      headers: { "Coder-Session-Token": login },
      body: JSON.stringify({ url: `ws://127.0.0.1:${port}${path}`, agentID: agentId }),
    });
    expect(answer.status).toBe(200);
    const { signed_token } = (await answer.json()) as { signed_token: string };
    const query = new URLSearchParams({ reconnect: randomUUID(), coder_signed_app_token: signed_token });
    return new Terminal(`${path}?${query}`);
  }

  /** Runs a command and waits for its output, which the command itself does not contain. */
  async shows(word: string): Promise<void> {
    const [first, rest] = [word.slice(0, 1), word.slice(1)];
    this.#socket.send(Buffer.from(JSON.stringify({ data: `echo ${first}""${rest}\n` })));
    await vi.waitFor(() => expect(this.output).toContain(word), eventually);
  }
}

async function opened(login?: string): Promise<Terminal> {
  const terminal = await Terminal.open(login);
  await vi.waitFor(() => expect(terminal.output).not.toBe(""), eventually);
  await terminal.shows("begun");
  return terminal;
}

const NAVIGATION = { Accept: "text/html", "Sec-Fetch-Mode": "navigate" };

const appHost = (): string => `${(program.address() as AddressInfo).port}--main--demo--owner.near.localhost`;

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** @param onBegin Called with the first bytes of the answer's body. */
function askApp(path: string, headers: Record<string, string> = {}, onBegin?: () => void): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      host: "127.0.0.1",
      port,
      path,
      headers: { Host: `${appHost()}:${port}`, ...headers },
    });
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
        onBegin?.();
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    request.end();
  });
}

function cookieOf({ headers }: Answer): string {
  return headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
}

async function apiToken(): Promise<string> {
  const made = await json<{ key: string }>(
    deployment.api("POST", "/api/v2/users/me/keys/tokens", { lifetime: 3_600_000_000_000 }),
  );
  return made.key;
}

async function revoke(key: string): Promise<void> {
  const id = key.slice(0, key.indexOf("-"));
  expect((await deployment.api("DELETE", `/api/v2/users/me/keys/${id}`)).status).toBe(204);
}

beforeAll(async () => {
  await new Promise<void>((resolve) => program.listen(0, "127.0.0.1", resolve));
  deployment = await TestDeployment.start();
  port = await freePort();
  const made = await deployment.run(["wsproxy", "create", "--name", "near", "--only-token", "--no-prompt"]);
  expect(made.code, made.stderr).toBe(0);
  token = made.stdout.trim();
  const url = `http://127.0.0.1:${port}`;
  const words = ["--primary-access-url", deployment.url, "--access-url", url, "--http-address", `127.0.0.1:${port}`];
  proxy = deployment.spawn(
    [
      ...["wsproxy", "server", ...words, "--wildcard-access-url", "*.near.localhost"],
      ...["--disable-path-apps=false", "--stun-address", "disable"],
    ],
    {
      CODER_PROXY_SESSION_TOKEN: token,
    },
  );
  for (const stream of [proxy.stdout!, proxy.stderr!])
    stream.on("data", (chunk) => {
      log += String(chunk);
    });
  const agentToken = await deployment.createWorkspace("demo");
  deployment.startAgent(agentToken, { PS1: "$ ", SHELL: "/bin/sh" });
  expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  const workspace = await json<{ latest_build: { resources: { agents: { id: string }[] }[] } }>(
    deployment.api("GET", "/api/v2/users/me/workspace/demo"),
  );
  agentId = workspace.latest_build.resources.flatMap(({ agents }) => agents)[0]!.id;
  await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200), eventually);
}, 120_000);

afterAll(async () => {
  program.closeAllConnections();
  program.close();
  await deployment?.close();
});

it("the end of the login ends the terminal that it opened", async () => {
  const token = await apiToken();
  const terminal = await opened(token);
  // Nothing else uses this agent, so the primary ends the tunnel, from which the proxy learns of it at once.
  await revoke(token);
  expect(await terminal.closed).toEqual({ code: 1008, reason: "access ended" });
}, 60_000);

/** Signs in to the app as a browser does, where somebody has the login at the deployment. Returns the session's cookie. */
async function signedIn(login: string): Promise<string> {
  const first = await askApp("/page?a=1", NAVIGATION);
  expect(first.status).toBe(303);
  const to = new URL(first.headers.location!);
  expect(to.origin).toBe(deployment.url);
  const decided = await fetch(to, { redirect: "manual", headers: { "Coder-Session-Token": login } });
  const back = new URL(decided.headers.get("location")!);
  expect(back.hostname).toBe(appHost());
  const state = cookieOf(first);
  const answer = await askApp(`${back.pathname}${back.search}`, { ...NAVIGATION, Cookie: state });
  expect([answer.status, answer.headers.location]).toEqual([303, `${back.origin}/page?a=1`]);
  return cookieOf(answer);
}

/** A request to the app that goes on. */
async function openRequest(Cookie: string): Promise<{ readonly ended: Promise<Answer> }> {
  const begun = Promise.withResolvers<void>();
  const ended = askApp("/open", { Cookie }, begun.resolve);
  ended.catch(() => undefined); // awaited by the test
  await begun.promise;
  return { ended };
}

it("an app is signed in to at the deployment and served by the proxy, until its session ends", async () => {
  const token = await apiToken();
  const Cookie = await signedIn(token);
  expect(await askApp("/page?a=1", { Cookie })).toMatchObject({ status: 200, text: "an app at /page?a=1" });
  expect((await askApp("/")).status).toBe(401);
  const open = await openRequest(Cookie);
  await revoke(token);
  await expect(open.ended).rejects.toThrow();
  await vi.waitFor(async () => expect((await askApp("/", { Cookie })).status).toBe(401), eventually);
}, 120_000);

it("security R10: the end of a login ends what it opened also while the tunnel is used with another login", async () => {
  const other = await opened();
  const token = await apiToken();
  const terminal = await opened(token);
  const Cookie = await signedIn(token);
  const open = await openRequest(Cookie);
  await revoke(token);
  // Without a word of the primary the proxy would ask after a minute, which is longer than this test has.
  expect(await terminal.closed).toEqual({ code: 1008, reason: "access ended" });
  await expect(open.ended).rejects.toThrow();
  await vi.waitFor(async () => expect((await askApp("/", { Cookie })).status).toBe(401), eventually);
  await other.shows("goes");
}, 50_000);

it("an app below a path is signed in to at the deployment and served by the proxy", async () => {
  const listening = (program.address() as AddressInfo).port;
  const added = await deployment.run(["apps", "add", "demo", "web", "--app-url", `http://127.0.0.1:${listening}`]);
  expect(added.code, added.stderr).toBe(0);
  const own = { Host: `127.0.0.1:${port}` };
  const path = "/@owner/demo.main/apps/web/page?a=1";
  const first = await askApp(path, { ...own, ...NAVIGATION });
  expect(first.status).toBe(303);
  const to = new URL(first.headers.location!);
  const decided = await fetch(to, { redirect: "manual", headers: { "Coder-Session-Token": deployment.ownerToken } });
  const back = new URL(decided.headers.get("location")!);
  expect(back.host).toBe(`127.0.0.1:${port}`);
  const signedIn = await askApp(`${back.pathname}${back.search}`, { ...own, ...NAVIGATION, Cookie: cookieOf(first) });
  expect([signedIn.status, signedIn.headers.location]).toEqual([303, `${back.origin}${path}`]);
  const Cookie = cookieOf(signedIn);
  expect(await askApp(path, { ...own, Cookie })).toMatchObject({ status: 200, text: "an app at /page?a=1" });
  expect((await askApp(path, own)).status).toBe(401);
  expect(await report()).toEqual({ errors: [], warnings: [] });
}, 120_000);

it("coder open app opens an app at the region that is named", async () => {
  const open = async (args: string[], environment: Record<string, string> = {}) =>
    await deployment.run(["open", "app", ...args, "demo", "web"], { environment: { PATH: "", ...environment } });
  const near = `http://web--main--demo--owner.near.localhost:${port}/\n`;
  expect((await open(["--region", "near"])).stdout).toBe(near);
  expect((await open([], { CODER_OPEN_APP_REGION: "near" })).stdout).toBe(near);
  const own = (await open(["--region", "primary"], { CODER_OPEN_APP_REGION: "near" })).stdout;
  expect(own).toContain(new URL(deployment.url).port);
  // Variables about relays do not affect apps.
  expect((await open([], { CODER_REGION: "near" })).stdout).toBe(own);
  const unknown = await open(["--region", "nowhere"]);
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("it has: primary, near")]);
}, 60_000);

it("a terminal runs commands in the workspace, and the proxy is listed as one that serves browsers", async () => {
  await opened();
  const { regions } = await json<{ regions: { name: string; path_app_url: string }[] }>(
    deployment.api("GET", "/api/v2/regions"),
  );
  expect(regions.find(({ name }) => name === "near")).toMatchObject({ path_app_url: `http://127.0.0.1:${port}` });
  expect(await report()).toEqual({ errors: [], warnings: [] });
}, 60_000);

it("a terminal goes on while the primary is killed, and after it is back", async () => {
  const terminal = await opened();
  const { server } = deployment;
  server!.kill("SIGKILL");
  await once(server!, "exit");
  await vi.waitFor(async () => expect((await report()).warnings).not.toEqual([]), eventually);
  await terminal.shows("without");
  await deployment.startServer();
  await vi.waitFor(async () => expect(await report()).toEqual({ errors: [], warnings: [] }), eventually);
  await terminal.shows("again");
  await opened();
}, 120_000);

it("a replaced token ends terminals, and the proxy opens no further one", async () => {
  const terminal = await opened();
  expect((await deployment.run(["wsproxy", "regenerate-token", "near"])).code).toBe(0);
  expect(await terminal.closed).toMatchObject({ code: 1008 });
  const further = await Terminal.open();
  expect((await further.closed).code).not.toBe(1000);
  expect(further.output).toBe("");
  expect(log).not.toContain(token.slice(token.indexOf(":") + 1));
}, 60_000);
