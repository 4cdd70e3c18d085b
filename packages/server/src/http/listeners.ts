import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { nodeErrorCode, ServerError } from "../base/errors.ts";
import type { ListenAddress } from "../config/parse.ts";
import type { HttpLimits } from "./context.ts";
import type { Certificates } from "./tls.ts";

/**
 * Connections that the system accepts ahead of us, as far as it lets us. After a restart everybody comes at once; who finds no
 * room tries again only after seconds.
 */
const BACKLOG = 8_192;

export interface ListenerHandlers {
  request(request: IncomingMessage, response: ServerResponse): void;
  /** Whether `upgrade` takes it; otherwise its `Upgrade` header is ignored. */
  upgrades(request: IncomingMessage): boolean;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** An http or https server with our limits on what a client may take its time with. */
export function createListener(
  certificates: Certificates | undefined,
  limits: HttpLimits,
  handlers: ListenerHandlers,
): Server {
  const options: ServerOptions = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: limits.connectionsCheckMs,
    requireHostHeader: true,
    shouldUpgradeCallback: (request) => handlers.upgrades(request),
  };
  const server = certificates === undefined ? createHttpServer(options) : createTlsServer(options, certificates);
  server.on("request", handlers.request);
  server.on("upgrade", handlers.upgrade);
  server.on("clientError", (_error, socket) => {
    // Not HTTP, too large or too slow. Whatever it is, it gets one line and is gone.
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    // Half-closing keeps the line from being lost; the timer ends a client that stays.
    setTimeout(() => socket.destroy(), 1_000).unref();
  });
  return server;
}

function createTlsServer(options: ServerOptions, certificates: Certificates): Server {
  const server = createHttpsServer({ ...options, ...certificates.options() });
  certificates.serve(server);
  return server;
}

/** Binds and returns the address. Throws ServerError ERR_PORT_IN_USE or ERR_LISTEN. */
export async function listen(server: Server, address: ListenAddress, flag: string): Promise<AddressInfo> {
  const text = formatListenAddress(address);
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      reject(listenError(error, text, flag));
    };
    server.once("error", fail);
    const host = address.host === "" ? "::" : address.host;
    server.listen({ host, port: address.port, backlog: BACKLOG }, () => {
      server.removeListener("error", fail);
      resolve();
    });
  });
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new ServerError("ERR_LISTEN", `Cannot listen on "${text}"`);
  return bound;
}

export function formatListenAddress(address: ListenAddress): string {
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

/** Whether only this machine can connect to the address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function listenError(error: Error, text: string, flag: string): ServerError {
  const code = nodeErrorCode(error);
  if (code === "EADDRINUSE") {
    return new ServerError("ERR_PORT_IN_USE", `Cannot listen on "${text}"`, {
      why: "another program uses that address",
      nextSteps: [`stop it, or choose another address with --${flag}`],
      cause: error,
    });
  }
  const reasons: Readonly<Record<string, string>> = {
    EACCES: "this user may not use that port",
    EADDRNOTAVAIL: "this machine does not have that address",
    ENOTFOUND: "that name has no address",
  };
  return new ServerError("ERR_LISTEN", `Cannot listen on "${text}"`, {
    why: reasons[code ?? ""] ?? `${code ?? error.message}`,
    nextSteps: [`choose another address with --${flag}`],
    cause: error,
  });
}
