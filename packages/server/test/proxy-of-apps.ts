/** A workspace proxy that serves web apps, with a scripted primary and one real program that stands for all. */
import { createServer, request as httpRequest, type IncomingHttpHeaders, type RequestListener } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { AppGrantTarget, IssueAppTokenRequest } from "coder-protocol/rest/proxy-apps";
import { expect, onTestFinished, vi } from "vitest";
import type { AppTokenFacts } from "../src/base/app-token.ts";
import { createLogger } from "../src/base/log.ts";
import type { ServerFlagValues } from "../src/config/flags.ts";
import { parseProxyConfig } from "../src/proxy/config.ts";
import { type ProxyDeps, WorkspaceProxy } from "../src/proxy/workspace-proxy.ts";
import { FakePrimary } from "./fake-primary.ts";
import { ADA, AGENT_ID, FakeApps, factsOf, json, type Refusal } from "./fake-primary-apps.ts";
import { send, TextCollector } from "./helpers.ts";

const PROXY_ID = "0b4f42b9-3a9c-4d0e-8f52-6f6f0c7f9d11";
const TOKEN = `${PROXY_ID}:${"5e".repeat(32)}`;
export const HOST = "8080--main--dev--ada.near.example";
export const SESSION = "S".repeat(43);
export const COOKIE = { Cookie: `coder_app_session=${SESSION}` };
export const eventually = { timeout: 25_000, interval: 25 };

export const TARGET: AppGrantTarget = {
  workspace_id: "77777777-6666-4555-8444-333333333333",
  owner_id: ADA.id,
  agent_id: AGENT_ID,
  port: 8080,
  secure: false,
  base_path: "",
  query: "",
  level: "owner",
  host_header: "preserve",
  cors: "simple",
  cors_origins: [],
  also: [],
  identity_headers: false,
};

export const SIGN_IN = json(401, { message: "Sign in to this app first" });

export function granted(
  target: Partial<AppGrantTarget> = {},
  grant: Parameters<typeof factsOf>[1] = {},
): AppTokenFacts {
  return factsOf({ access_method: "subdomain" }, { target: { ...TARGET, ...target }, ...grant });
}

/** Grants Ada's app to those who have her session. */
export function toAda(target: Partial<AppGrantTarget> = {}) {
  return ({ session_token }: IssueAppTokenRequest): AppTokenFacts | Refusal =>
    session_token === SESSION ? granted(target) : SIGN_IN;
}

export async function startProxy(
  program: RequestListener = (_request, response) => void response.end("an app"),
  flags: ServerFlagValues = {},
) {
  const server = createServer(program);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: programPort } = server.address() as AddressInfo;
  const primary = await new FakePrimary(TOKEN).listen();
  primary.apps = new FakeApps(PROXY_ID);
  const dialled: { readonly agentId: string; readonly port: number }[] = [];
  const tunnels = {
    acquire: async ({ agentId }: { agentId: string }) => ({
      connection: {
        dial: async (port: number) => {
          dialled.push({ agentId, port });
          return connect(programPort, "127.0.0.1");
        },
      },
      release: () => undefined,
    }),
    end: () => undefined,
    close: async () => undefined,
  } as unknown as ProxyDeps["tunnels"] & object;
  const config = parseProxyConfig({
    "primary-access-url": primary.url,
    "access-url": "http://proxy.example",
    "wildcard-access-url": "*.near.example",
    "proxy-session-token": TOKEN,
    "http-address": "127.0.0.1:0",
    "stun-address": "disable",
    ...flags,
  });
  const log = new TextCollector();
  const proxy = new WorkspaceProxy(config, {
    log: createLogger({ sink: log, level: "debug", format: "json" }),
    tunnels,
  });
  await proxy.listen();
  onTestFinished(async () => {
    await proxy.close();
    await primary[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
  });
  const { port } = proxy.address!;
  const url = `http://127.0.0.1:${port}`;
  await vi.waitFor(async () => expect((await send(url, "GET", "/readyz")).status).toBe(200), eventually);
  const ask = (path: string, headers: Record<string, string> = {}, method = "GET") =>
    askAt(port, path, headers, method);
  return { primary, apps: primary.apps, proxy, server, url, ask, dialled, log };
}

/** Sends one request unchanged. */
function askAt(port: number, path: string, headers: Record<string, string>, method: string) {
  return new Promise<{ status: number; headers: IncomingHttpHeaders; text: string }>((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path, method, headers: { Host: HOST, ...headers } });
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    request.end();
  });
}
