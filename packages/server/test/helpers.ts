import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BUILD_VERSION_HEADER, SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { WebSocket } from "ws";
import type { WallClock } from "../src/base/clock.ts";
import { createLogger, type TextSink } from "../src/base/log.ts";
import type { ServerFlagValues } from "../src/config/flags.ts";
import { parseServerConfig } from "../src/config/parse.ts";
import { type CoderServer, createServer, type ServerDeps } from "../src/server.ts";
import { dropTestDatabase, testDatabase } from "./postgres/test-database.ts";

/** A clock that the test advances. */
export class TestClock implements WallClock {
  #now: number;
  constructor(now = Date.now()) {
    this.#now = now;
  }
  now(): number {
    return this.#now;
  }
  advance(ms: number): void {
    this.#now += ms;
  }
}

export class TextCollector implements TextSink {
  text = "";
  write(text: string): void {
    this.text += text;
  }
}

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), "coder-server-test-"));
}

/** Cheap on purpose, because these tests do not depend on its strength. */
export const TEST_PASSWORD_COST = { logN: 10, r: 8, p: 1 };
export const PASSWORD = "correct horse battery";

export interface TestServer extends AsyncDisposable {
  readonly server: CoderServer;
  readonly clock: TestClock;
  readonly log: TextCollector;
  readonly stateDir: string;
  readonly url: string;
  readonly port: number;
}

export async function startServer(
  options: {
    flags?: ServerFlagValues;
    deps?: Partial<ServerDeps>;
    stateDir?: string;
    keep?: boolean;
    /** Set for tests of the database file; default: the store of the test tier. */
    store?: "sqlite";
  } = {},
): Promise<TestServer> {
  const stateDir = options.stateDir ?? temporaryDirectory();
  const database = options.store === "sqlite" ? undefined : await testDatabase(stateDir);
  const config = parseServerConfig(
    {
      "http-address": "127.0.0.1:0",
      "state-dir": stateDir,
      "log-level": "debug",
      // Tests send nothing to other machines.
      "stun-address": "disable",
      "derp-server-stun-addresses": "disable",
      ...database,
      // On loopback, a server without an access URL would otherwise serve apps.
      "wildcard-access-url": "",
      ...options.flags,
    },
    { homeDir: stateDir },
  );
  const clock = new TestClock();
  const log = new TextCollector();
  const server = await createServer(config, {
    log: createLogger({ sink: log, level: config.logLevel, format: "json" }),
    clock,
    passwordCost: TEST_PASSWORD_COST,
    ...options.deps,
  });
  await server.listen();
  const port = server.address?.port ?? 0;
  return {
    server,
    clock,
    log,
    stateDir,
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      await server.close();
      if (options.keep === true) return;
      await dropTestDatabase(stateDir);
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back
  readonly json: any;
}

export type OptionalHeaders = Readonly<Record<string, string | undefined>>;

/** The headers that have a value; node:http refuses one without. */
export function givenHeaders(headers: OptionalHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** Sends one request with node:http, so that a test can set Host, Origin and Cookie. */
export function send(
  base: string,
  method: string,
  path: string,
  options: { token?: string | undefined; headers?: OptionalHeaders; body?: unknown; rawBody?: string } = {},
): Promise<Answer> {
  const body = options.rawBody ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  const hasBody = body !== undefined;
  const headers = givenHeaders({
    "Content-Type": hasBody ? "application/json" : undefined,
    "Content-Length": hasBody ? String(Buffer.byteLength(body)) : undefined,
    [SESSION_TOKEN_HEADER]: options.token,
    ...options.headers,
  });
  return new Promise((resolve, reject) => {
    const request = httpRequest(new URL(path, base), { method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        const isJson = (response.headers["content-type"] ?? "").includes("json");
        if (response.headers[BUILD_VERSION_HEADER.toLowerCase()] === undefined) {
          reject(new Error(`${method} ${path} lacks ${BUILD_VERSION_HEADER}`));
          return;
        }
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          json: isJson && text !== "" ? JSON.parse(text) : undefined,
        });
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** Creates the first user, an owner, and returns a token of theirs. */
export async function firstUser(url: string): Promise<{ token: string; id: string }> {
  const user = { email: "ada@example.com", username: "ada", name: "Ada", password: PASSWORD };
  const created = await send(url, "POST", "/api/v2/users/first", { body: { ...user, trial: false } });
  if (created.status !== 201) throw new Error(`first user: ${created.status} ${created.text}`);
  return { token: await login(url, user.email), id: created.json.user_id };
}

export async function login(url: string, email: string, password = PASSWORD): Promise<string> {
  const answer = await send(url, "POST", "/api/v2/users/login", { body: { email, password } });
  if (answer.status !== 201) throw new Error(`login: ${answer.status} ${answer.text}`);
  return answer.json.session_token;
}

export async function addMember(
  url: string,
  ownerToken: string,
  username: string,
): Promise<{ token: string; id: string }> {
  const email = `${username}@example.com`;
  const created = await send(url, "POST", "/api/v2/users", {
    token: ownerToken,
    body: { email, username, password: PASSWORD, organization_ids: [] },
  });
  if (created.status !== 201) throw new Error(`user: ${created.status} ${created.text}`);
  return { token: await login(url, email), id: created.json.id };
}

// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back
export async function addWorkspace(url: string, token: string, name: string): Promise<any> {
  const created = await send(url, "POST", "/api/v2/users/me/workspaces", { token, body: { name } });
  if (created.status !== 201) throw new Error(`workspace: ${created.status} ${created.text}`);
  return created.json;
}

export async function agentToken(url: string, token: string, workspaceId: string): Promise<string> {
  const answer = await send(url, "GET", `/api/v2/workspaces/${workspaceId}/external-agent/main/credentials`, { token });
  if (answer.status !== 200) throw new Error(`credentials: ${answer.status} ${answer.text}`);
  return answer.json.agent_token;
}

/** A WebSocket whose messages are queued until they are read. */
export class SocketReader {
  readonly #messages: string[] = [];
  readonly #waiting: ((text: string | undefined) => void)[] = [];
  readonly socket: WebSocket;
  readonly closed: Promise<number>;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data) => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#messages.push(String(data));
      else next(String(data));
    });
    this.closed = new Promise((resolve) => {
      socket.on("close", (code) => {
        for (const next of this.#waiting.splice(0)) next(undefined);
        resolve(code);
      });
    });
  }

  /** Undefined once the socket is closed. */
  next(): Promise<string | undefined> {
    const message = this.#messages.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.socket.readyState === WebSocket.CLOSED) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** Opens a WebSocket, or gives the status of the refusal. */
export function openSocket(
  base: string,
  path: string,
  headers: Record<string, string>,
): Promise<{ reader: SocketReader } | { status: number; text: string }> {
  const url = new URL(path, base);
  url.protocol = "ws:";
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers });
    const reader = new SocketReader(socket);
    socket.on("open", () => resolve({ reader }));
    socket.on("unexpected-response", (_request, response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    socket.on("error", reject);
  });
}

export async function openSocketOrFail(
  base: string,
  path: string,
  headers: Record<string, string>,
): Promise<SocketReader> {
  const result = await openSocket(base, path, headers);
  if ("status" in result) throw new Error(`WebSocket ${path}: ${result.status} ${result.text}`);
  return result.reader;
}
