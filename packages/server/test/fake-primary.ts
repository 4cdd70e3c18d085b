/** A primary deployment as a workspace proxy sees it, which accepts only the messages that it expects. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  PROXY_DEREGISTER_PATH,
  PROXY_REGISTER_PATH,
  PROXY_RELAY_KEYS_PATH,
  PROXY_TOKEN_HEADER,
  type RegisterProxyResponse,
  type RelayKeysMessage,
} from "coder-protocol/rest/workspace-proxies";
import { type WebSocket, WebSocketServer } from "ws";
import { z } from "zod";
import { DEPLOYMENT_ID, type FakeApps } from "./fake-primary-apps.ts";

/** The fields that a stock proxy sends, our own additions, and no others. */
const strictStatement = z.strictObject({
  access_url: z.url(),
  wildcard_hostname: z.string(),
  derp_enabled: z.boolean(),
  derp_only: z.boolean(),
  path_apps: z.boolean(),
  replica_id: z.guid(),
  hostname: z.string().min(1),
  replica_error: z.string(),
  replica_relay_address: z.string(),
  version: z.string().startsWith("v"),
  stun_port: z.number().int(),
});
export type Statement = z.infer<typeof strictStatement>;

const VERSION = { "X-Coder-Build-Version": "v2.26.0" };

export class FakePrimary implements AsyncDisposable {
  readonly statements: Statement[] = [];
  readonly deregistered: string[] = [];
  /** Requests that a proxy must not send. */
  readonly faults: string[] = [];
  readonly streams = new Set<WebSocket>();
  token: string;
  isProxy = false;
  /** Undefined for a primary without support for apps. */
  apps: FakeApps | undefined;
  /** Answered instead of a registration. */
  refusal: { readonly status: number; readonly headers?: Record<string, string>; readonly body: string } | undefined;
  registration: RegisterProxyResponse = {
    derp_mesh_key: "",
    derp_region_id: 10_001,
    derp_map: {},
    derp_force_websockets: false,
    sibling_replicas: [],
    app_security_key: "",
    admission: "stream",
    refresh_ms: 5_000,
  };
  /** Sent to each stream when it opens. */
  snapshot: readonly RelayKeysMessage[] = [{ snapshot: true, add: [] }];
  readonly #server = createServer((request, response) => this.#answer(request, response));
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #waiting = new Set<() => void>();
  #port = 0;

  constructor(token: string) {
    this.token = token;
    this.#server.on("upgrade", (request, socket, head) => {
      if (request.url !== PROXY_RELAY_KEYS_PATH) this.faults.push(`upgrade ${request.url}`);
      if (request.headers[PROXY_TOKEN_HEADER.toLowerCase()] !== this.token) {
        const body = JSON.stringify({ message: "Invalid proxy token." });
        const lines = ["HTTP/1.1 401 Unauthorized", "X-Coder-Build-Version: v2.26.0", "Connection: close"];
        socket.end([...lines, `Content-Length: ${body.length}`, "", body].join("\r\n"));
        return;
      }
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
        this.streams.add(webSocket);
        webSocket.on("close", () => {
          this.streams.delete(webSocket);
          this.#changed();
        });
        for (const message of this.snapshot) webSocket.send(JSON.stringify(message));
        this.#changed();
      });
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  /** Stops answering, like a machine that is gone. */
  async goAway(): Promise<void> {
    for (const stream of this.streams) stream.terminate();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  send(message: RelayKeysMessage): void {
    for (const stream of this.streams) stream.send(JSON.stringify(message));
  }

  /** Resolves once the condition holds; it is checked after every request and stream. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.goAway();
  }

  #changed(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url } = request;
    const tokens = request.headers[PROXY_TOKEN_HEADER.toLowerCase()];
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const reply = (status: number, body: object | undefined): void => {
      response.writeHead(status, { ...VERSION, "Content-Type": "application/json" });
      response.end(body === undefined ? "" : JSON.stringify(body));
      this.#changed();
    };
    if (request.headers["coder-session-token"] !== undefined) this.faults.push("a session token");
    if (request.method === "GET" && url === "/api/v2/buildinfo") {
      reply(200, {
        version: "v2.26.0",
        dashboard_url: this.url,
        workspace_proxy: this.isProxy,
        deployment_id: DEPLOYMENT_ID,
      });
    } else if (this.refusal !== undefined) {
      response.writeHead(this.refusal.status, this.refusal.headers ?? VERSION).end(this.refusal.body);
      this.#changed();
    } else if (tokens !== this.token) {
      reply(401, { message: "Invalid proxy token." });
    } else if (request.method === "POST" && url === PROXY_REGISTER_PATH) {
      const statement = strictStatement.safeParse(JSON.parse(text));
      if (statement.success) this.statements.push(statement.data);
      else this.faults.push(statement.error.message);
      reply(201, this.registration);
    } else if (request.method === "POST" && url === PROXY_DEREGISTER_PATH) {
      this.deregistered.push(z.strictObject({ replica_id: z.guid() }).parse(JSON.parse(text)).replica_id);
      reply(204, undefined);
    } else {
      const answer = await this.apps?.answer(request, text);
      if (answer === undefined) {
        this.faults.push(`${request.method} ${url}`);
        reply(404, { message: "Route not found." });
      } else {
        response.writeHead(answer.status, { ...VERSION, ...answer.headers }).end(answer.body);
        this.#changed();
      }
    }
  }
}
