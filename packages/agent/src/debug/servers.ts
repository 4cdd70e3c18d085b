/**
 * Debug pages and metrics on addresses of the host, enabled by flags: the same pages as inside the tunnel. There is no
 * authentication: any process that reaches the address may read them. They hold no secrets.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIP } from "node:net";
import type { Logger } from "wg-userspace/base/ports";
import type { DebugSources } from "../services/http-api.ts";

const IO_LIMIT_MS = 20_000;
const MAX_CONNECTIONS = 64;

export interface DebugAddresses {
  /** `host:port`. */
  readonly debugAddress?: string | undefined;
  readonly prometheusAddress?: string | undefined;
  readonly logger: Logger;
}

type Page = () => { readonly type: string; readonly text: string };

export class DebugServers {
  readonly #servers: readonly Server[];

  /** An address that cannot be bound is logged and does not stop the agent. */
  static async open(addresses: DebugAddresses, sources: DebugSources): Promise<DebugServers> {
    const metrics: Page = () => ({ type: "text/plain; version=0.0.4; charset=utf-8", text: sources.prometheus() });
    const json = (view: () => unknown): Page => {
      return () => ({ type: "application/json; charset=utf-8", text: JSON.stringify(view()) });
    };
    const debugPages = new Map<string, Page>([
      ["/debug/logs", () => ({ type: "text/plain; charset=utf-8", text: sources.logs() })],
      ["/debug/magicsock", json(sources.magicsock)],
      ["/debug/manifest", json(sources.manifest)],
      ["/debug/prometheus", metrics],
    ]);
    const metricsPages = new Map<string, Page>([
      ["/", metrics],
      ["/metrics", metrics],
    ]);
    const { logger, debugAddress, prometheusAddress } = addresses;
    const opened = await Promise.all([
      debugAddress === undefined ? undefined : listen("debug pages", debugAddress, debugPages, logger),
      prometheusAddress === undefined ? undefined : listen("metrics", prometheusAddress, metricsPages, logger),
    ]);
    return new DebugServers(opened.filter((server) => server !== undefined));
  }

  private constructor(servers: readonly Server[]) {
    this.#servers = servers;
  }

  /** Ports on which the servers listen. */
  get ports(): readonly number[] {
    return this.#servers.map((server) => {
      const address = server.address();
      return typeof address === "object" && address !== null ? address.port : 0;
    });
  }

  close(): void {
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
  }
}

async function listen(
  what: string,
  text: string,
  pages: ReadonlyMap<string, Page>,
  logger: Logger,
): Promise<Server | undefined> {
  const address = parseHostPort(text);
  if (address === undefined) {
    logger.log("error", `${what} are not served: the address must be host:port`, { address: text });
    return undefined;
  }
  const server = createServer((request, response) => {
    try {
      answer(request, response, pages);
    } catch (error) {
      logger.log("warn", "a debug page failed", { path: request.url, error: String(error) });
      if (!response.headersSent) reply(response, 500, "text/plain; charset=utf-8", "Internal error.\n");
      else response.destroy();
    }
  });
  server.requestTimeout = IO_LIMIT_MS;
  server.headersTimeout = IO_LIMIT_MS;
  server.maxConnections = MAX_CONNECTIONS;
  const failure = await new Promise<Error | undefined>((resolve) => {
    server.once("error", resolve);
    server.listen(address.port, address.host, () => resolve(undefined));
  });
  if (failure !== undefined) {
    logger.log("error", `${what} are not served`, { address: text, error: failure.message });
    return undefined;
  }
  server.on("error", (error) => logger.log("warn", `server of ${what}`, { error: error.message }));
  logger.log("info", `serving ${what}`, { address: text });
  return server;
}

function answer(request: IncomingMessage, response: ServerResponse, pages: ReadonlyMap<string, Page>): void {
  const { status, type, text } = pageFor(request, pages);
  reply(response, status, type, text);
}

function pageFor(
  request: IncomingMessage,
  pages: ReadonlyMap<string, Page>,
): { readonly status: number; readonly type: string; readonly text: string } {
  const type = "text/plain; charset=utf-8";
  // A web page whose name resolves to a loopback address (DNS rebinding) is recognised by that name.
  if (!isOwnName(request)) return { status: 403, type, text: "Use an IP address or localhost in the URL.\n" };
  if (request.method !== "GET" && request.method !== "HEAD")
    return { status: 405, type, text: "Only GET is supported here.\n" };
  const page = pages.get((request.url ?? "/").split("?")[0] ?? "/");
  if (page === undefined) return { status: 404, type, text: `There is: ${[...pages.keys()].join(", ")}\n` };
  return { status: 200, ...page() };
}

function isOwnName(request: IncomingMessage): boolean {
  const local = request.socket.localAddress ?? "";
  // bound for other machines, which may use any name for this one
  if (!/^(?:127\.|::1$|::ffff:127\.)/.test(local)) return true;
  const name = (request.headers.host ?? "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  return isIP(name) !== 0 || name.toLowerCase() === "localhost";
}

/** `:port` alone means loopback; serving other machines requires an explicit address. */
function parseHostPort(text: string): { host: string; port: number } | undefined {
  const [, host, digits] = /^(\[[0-9a-fA-F:.]+\]|[^:\s]*):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host === undefined || !(port <= 65_535)) return undefined;
  return { host: host.replace(/^\[|\]$/g, "") || "127.0.0.1", port };
}

function reply(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(text),
    "Cache-Control": "no-store",
    Connection: "close",
  });
  response.end(text);
}
