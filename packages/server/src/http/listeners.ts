import { createServer as createHttpServer, type Server, type ServerOptions } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { nodeErrorCode, ServerError } from "../base/errors.ts";
import { formatListenAddress, type ListenAddress } from "../base/listen-address.ts";
import type { Logger } from "../base/log.ts";
import type { OpenStreams } from "../base/open-streams.ts";
import { closeResponses } from "./closed-responses.ts";
import { limitConnections } from "./descriptor-limit.ts";
import type { FrontDoor } from "./front-door.ts";
import { ignoreUpgrade } from "./ignored-upgrades.ts";
import type { HttpLimits } from "./limits.ts";
import { longHeadAnswer } from "./long-head.ts";
import { originForm } from "./origin-form.ts";
import type { Certificates } from "./tls.ts";

/**
 * Connections that the system accepts before the server does, as far as it allows. After a restart all clients reconnect at once,
 * and one that finds no room retries only seconds later.
 */
const BACKLOG = 8_192;

/**
 * Of a connection that carries nothing for this long the system asks the other side for a sign of life: a WebSocket between a
 * browser and a program is not read here, and would never end once the browser's machine is gone.
 */
const PROBE_IDLE_MS = 60_000;
const BAD_REQUEST = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/** How long the rest of an oversized head is read. */
const LONG_HEAD_MS = 5_000;

/** Handles the listeners' requests and upgrades. */
export type Door = Pick<FrontDoor, "request" | "upgrades" | "upgrade" | "startClosing" | "destroyUpgraded">;

export interface ListenersOptions {
  readonly door: Door;
  readonly limits: ListenerLimits;
  readonly streams: OpenStreams;
  readonly log: Logger;
}

type ListenerLimits = Pick<
  HttpLimits,
  "headerBytes" | "headersTimeoutMs" | "requestTimeoutMs" | "keepAliveTimeoutMs" | "connectionsCheckMs" | "closeGraceMs"
>;

/** The sockets on which the server listens: plain http and https behind one front door, and the metrics. */
export class Listeners {
  readonly #options: ListenersOptions;
  readonly #servers: Server[] = [];
  #stopped: readonly Promise<void>[] = [];
  #grace: NodeJS.Timeout | undefined;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** @param flag The setting to name in an error. Throws ServerError. */
  async http(address: ListenAddress, flag: string): Promise<AddressInfo> {
    return await this.bind(createListener(undefined, this.#options.limits, this.#options.door), address, flag);
  }

  /** Like http, with TLS. */
  async https(address: ListenAddress, flag: string, certificates: Certificates): Promise<AddressInfo> {
    return await this.bind(createListener(certificates, this.#options.limits, this.#options.door), address, flag);
  }

  /** Binds a server of another kind and takes ownership of it. Throws ServerError. */
  async bind(server: Server, address: ListenAddress, flag: string): Promise<AddressInfo> {
    limitConnections(server, this.#options.log);
    const bound = await listen(server, address, flag);
    this.#servers.push(server);
    return bound;
  }

  /**
   * From now on no connection, request or stream begins, and open streams end. What is left after a grace period is destroyed.
   */
  startClosing(): void {
    const { door, streams, limits } = this.#options;
    this.#stopped = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    door.startClosing();
    streams.endAll();
    this.#grace = setTimeout(() => {
      streams.destroyAll();
      door.destroyUpgraded();
      for (const server of this.#servers) server.closeAllConnections();
    }, limits.closeGraceMs);
  }

  /** Resolves when every connection is gone. Call after startClosing. */
  async closed(): Promise<void> {
    for (const server of this.#servers) server.closeIdleConnections();
    await Promise.all(this.#stopped);
    clearTimeout(this.#grace);
    this.#options.door.destroyUpgraded();
  }
}

/** An http or https server with limits on how long a client may take. */
function createListener(certificates: Certificates | undefined, limits: ListenerLimits, door: Door): Server {
  const options: ServerOptions = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelay: PROBE_IDLE_MS,
    connectionsCheckingInterval: limits.connectionsCheckMs,
    requireHostHeader: true,
    shouldUpgradeCallback: (request) => door.upgrades(originForm(request)),
  };
  const server = certificates === undefined ? createHttpServer(options) : createTlsServer(options, certificates);
  const open = closeResponses(server);
  server.on("request", (request, response) => door.request(originForm(request), response));
  // 100 Continue is sent only once a route accepts the body.
  server.on("checkContinue", (request, response) => door.request(originForm(request), response));
  server.on("upgrade", (request, socket, head) => {
    if (door.upgrades(originForm(request))) door.upgrade(request, socket, head);
    else ignoreUpgrade(server, open, request, socket, head);
  });
  server.on("clientError", (error, socket) => {
    const tooLong = nodeErrorCode(error) === "HPE_HEADER_OVERFLOW";
    // Not HTTP, too large or too slow: send an answer and close.
    if (socket.writable) socket.end(tooLong ? longHeadAnswer() : BAD_REQUEST);
    // Closing only our side and reading on keeps the answer from being lost; the timer ends a client that does not close.
    if (tooLong) socket.resume();
    setTimeout(() => socket.destroy(), tooLong ? LONG_HEAD_MS : 1_000).unref();
  });
  return server;
}

function createTlsServer(options: ServerOptions, certificates: Certificates): Server {
  const server = createHttpsServer({ ...options, ...certificates.options() });
  certificates.serve(server);
  return server;
}

/** Binds and returns the address. Throws ServerError ERR_PORT_IN_USE or ERR_LISTEN. */
async function listen(server: Server, address: ListenAddress, flag: string): Promise<AddressInfo> {
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
