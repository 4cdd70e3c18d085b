/** A server with a wildcard access URL, and programs that it reaches without a tunnel. */
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type RequestListener,
  type Server,
} from "node:http";
import { type AddressInfo, connect, type Server as NetServer, type Socket } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import type { ServerFlagValues } from "../../src/config/flags.ts";
import type { ServerDeps } from "../../src/server.ts";
import {
  addMember,
  addWorkspace,
  firstUser,
  givenHeaders,
  type OptionalHeaders,
  startServer,
  type TestServer,
} from "../helpers.ts";

export interface AppAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly trailers: NodeJS.Dict<string>;
  readonly text: string;
}

export interface AppServer extends AsyncDisposable {
  readonly test: TestServer;
  /** An owner of the deployment; the workspace is not theirs. */
  readonly admin: { token: string; id: string };
  /** Owner of the workspace "dev", whose agent "main" is connected. */
  readonly ada: { token: string; id: string };
  readonly bob: { token: string; id: string };
  readonly workspaceId: string;
  readonly agentId: string;
  /** The dials so far: agent and port. */
  readonly dialled: { agentId: string; port: number }[];
  /** Lets a program answer on a port of the workspace. */
  program(port: number, listener: RequestListener): Promise<Server>;
  /** Like {@link program}, for a server of another protocol. */
  listen(port: number, server: NetServer): Promise<void>;
  /** Host and port of an app of the workspace. */
  host(what: string | number): string;
  send(host: string, path: string, options?: SendOptions): Promise<AppAnswer>;
}

export interface SendOptions {
  readonly method?: string;
  readonly headers?: OptionalHeaders;
  readonly token?: string | undefined;
  readonly body?: string;
}

export async function startApps(
  options: { flags?: ServerFlagValues; deps?: Partial<ServerDeps> } = {},
): Promise<AppServer> {
  const ports = new Map<number, number>();
  const dialled: { agentId: string; port: number }[] = [];
  const closing: (() => void)[] = [];
  const test = await startServer({
    flags: { "wildcard-access-url": "*.coder.localhost", "max-share-level": "public", ...options.flags },
    deps: {
      appTunnels: {
        acquire: async ({ agentId }) => ({
          connection: {
            dial: async (port) => {
              dialled.push({ agentId, port });
              const socket = connect({ port: ports.get(port) ?? 1, host: "127.0.0.1", allowHalfOpen: true });
              await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
              return tunnelStream(socket);
            },
          },
          release: () => undefined,
        }),
      },
      ...options.deps,
    },
  });
  const admin = await firstUser(test.url);
  const owner = await addMember(test.url, admin.token, "owner");
  const bob = await addMember(test.url, admin.token, "bob");
  const workspace = await addWorkspace(test.url, owner.token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  await test.server.parts.agentState.connected(agentId, "2.0", "c");
  const listen = async (port: number, server: NetServer): Promise<void> => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ports.set(port, (server.address() as AddressInfo).port);
    closing.push(() => server.close());
  };
  return {
    test,
    admin,
    ada: owner,
    bob,
    workspaceId: workspace.id,
    agentId,
    dialled,
    listen,
    program: async (port, listener) => {
      const server = createServer(listener);
      await listen(port, server);
      closing.push(() => server.closeAllConnections());
      return server;
    },
    host: (what) => `${what}--main--dev--owner.coder.localhost:${test.port}`,
    send: (host, path, { method = "GET", headers = {}, token, body }: SendOptions = {}) =>
      new Promise((resolve, reject) => {
        const request = httpRequest(
          {
            maxHeaderSize: 128 * 1024,
            host: "127.0.0.1",
            port: test.port,
            method,
            path,
            agent: false,
            headers: givenHeaders({ Host: host, "Coder-Session-Token": token, ...headers }),
          },
          (response) => {
            let text = "";
            response.setEncoding("utf8");
            response.on("data", (chunk: string) => {
              text += chunk;
            });
            response.on("error", reject);
            response.on("end", () => {
              const { statusCode: status = 0, headers: answered, rawHeaders, trailers } = response;
              resolve({ status, headers: answered, rawHeaders, trailers, text });
            });
          },
        );
        request.on("error", reject);
        request.end(body);
      }),
    [Symbol.asyncDispose]: async () => {
      for (const close of closing) close();
      await test[Symbol.asyncDispose]();
    },
  };
}

/** Behaves like a stream of the tunnel: it is not a socket of the system, and each side ends separately. */
function tunnelStream(socket: Socket): Duplex {
  const [near, far] = duplexPair({ allowHalfOpen: true });
  socket.on("error", (error) => near.destroy(error)).on("close", () => far.destroy());
  near.on("close", () => socket.destroy());
  far.on("error", () => undefined); // "close" follows
  socket.pipe(far).pipe(socket);
  return near;
}

/** Sends bytes unchanged and returns everything that comes back until the server closes. */
export function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text, "latin1"));
    let received = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      received += chunk;
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(received));
  });
}

/** Signs a browser in through the whole sequence; returns the cookie of the app host. */
export async function signIn(apps: AppServer, host: string, token: string): Promise<string> {
  const navigate = { Accept: "text/html", "Sec-Fetch-Mode": "navigate" };
  const first = await apps.send(host, "/", { headers: navigate });
  const state = cookieOf(first);
  const decided = await apps.send(`127.0.0.1:${apps.test.port}`, pathOf(first.headers.location), { token });
  const back = await apps.send(host, pathOf(decided.headers.location), { headers: { ...navigate, Cookie: state } });
  if (back.status !== 303) throw new Error(`sign-in: ${decided.status} ${decided.text} ${back.status} ${back.text}`);
  return cookieOf(back);
}

/** The first cookie that an answer sets, in the form in which a browser sends it. */
export function cookieOf(answer: AppAnswer): string {
  return answer.headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
}

export function pathOf(location: string | undefined): string {
  const url = new URL(location ?? "http://nowhere/");
  return url.pathname + url.search;
}
