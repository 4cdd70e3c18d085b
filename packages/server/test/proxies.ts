/** Workspace proxies for tests: what their owner created, and a process that answers health checks. */
import { randomUUID } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { PROXY_TOKEN_HEADER, type RegisterProxyRequest } from "coder-protocol/rest/workspace-proxies";
import { systemClock } from "../src/base/clock.ts";
import type { ServerFlagValues } from "../src/config/flags.ts";
import type { HttpLimits } from "../src/http/limits.ts";
import { type Answer, firstUser, send, startServer, type TestServer } from "./helpers.ts";

export const PROXIES = "/api/v2/workspaceproxies";

export interface Deployment extends TestServer {
  readonly token: string;
}

/** A server that checks its proxies in real time. */
export async function proxyDeployment(
  flags: ServerFlagValues = {},
  limits: Partial<HttpLimits> = {},
): Promise<Deployment> {
  const test = await startServer({
    flags: { "proxy-health-interval": "200ms", ...flags },
    deps: { clock: systemClock, limits },
  });
  const { token } = await firstUser(test.url);
  return { ...test, token };
}

export async function createProxy(at: Deployment, name: string): Promise<{ id: string; token: string }> {
  const answer = await send(at.url, "POST", PROXIES, { token: at.token, body: { name } });
  if (answer.status !== 201) throw new Error(`proxy: ${answer.status} ${answer.text}`);
  return { id: answer.json.proxy.id, token: answer.json.proxy_token };
}

/** Like createProxy, with an address at which nothing listens: the proxy registered earlier. */
export async function createOtherProxy(at: Deployment, name: string): Promise<{ id: string; token: string }> {
  const proxy = await createProxy(at, name);
  await at.server.parts.store.workspaceProxies.update(proxy.id, { url: "http://127.0.0.2:1" });
  return proxy;
}

/** A process that answers GET /healthz-report with what the test has set. */
export class FakeProxy implements AsyncDisposable {
  readonly #server: Server;
  /** As it stands in an address. */
  readonly host: string;
  readonly replicaId = randomUUID();
  status = 200;
  body: string = JSON.stringify({ errors: [], warnings: [] });
  headers: Record<string, string> = {};
  checks = 0;
  #held: { readonly until: Promise<void>; readonly release: () => void; readonly asked: () => void } | undefined;

  /** Answers no check until releaseChecks is called. Resolves when a check has arrived. */
  holdChecks(): Promise<void> {
    const held = Promise.withResolvers<void>();
    const first = Promise.withResolvers<void>();
    this.#held = { until: held.promise, release: held.resolve, asked: first.resolve };
    return first.promise;
  }

  releaseChecks(): void {
    this.#held?.release();
    this.#held = undefined;
  }

  /** @param address That it listens on. */
  static async start(address = "127.0.0.1"): Promise<FakeProxy> {
    const proxy = new FakeProxy(address);
    await new Promise<void>((resolve) => proxy.#server.listen(0, address, resolve));
    return proxy;
  }

  private constructor(address: string) {
    this.host = address.includes(":") ? `[${address}]` : address;
    this.#server = createServer(async (request, response) => {
      if (request.url === "/healthz-report") this.checks++;
      this.#held?.asked();
      await this.#held?.until;
      response.writeHead(this.status, this.headers).end(this.body);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://${this.host}:${this.port}`;
  }

  registration(fields: Partial<RegisterProxyRequest> = {}): RegisterProxyRequest {
    return {
      access_url: this.url,
      derp_enabled: true,
      derp_only: true,
      replica_id: this.replicaId,
      hostname: "proxy-1",
      version: "v1.2.3",
      ...fields,
    };
  }

  register(at: Pick<Deployment, "url">, token: string, fields: Partial<RegisterProxyRequest> = {}): Promise<Answer> {
    return asProxy(at, token, "register", this.registration(fields));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export function asProxy(at: Pick<Deployment, "url">, token: string, route: string, body: unknown): Promise<Answer> {
  return send(at.url, "POST", `${PROXIES}/me/${route}`, { body, headers: { [PROXY_TOKEN_HEADER]: token } });
}

/** Waits until `wanted` returns true. */
export async function until(at: Deployment, wanted: () => boolean): Promise<void> {
  const { directory } = at.server.parts.proxies;
  if (wanted()) return;
  await new Promise<void>((resolve) => {
    const stop = directory.onChange(() => {
      if (!wanted()) return;
      stop();
      resolve();
    });
  });
}

export const regionIds = (at: Deployment): number[] => [...at.server.parts.control.relayMap().regions.keys()];
