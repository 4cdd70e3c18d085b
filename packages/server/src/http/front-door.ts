import type { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { BUILD_VERSION_HEADER } from "coder-protocol/rest/common";
import { isSessionId, SESSION_ID_KEY, sessionIdOfBaggage } from "coder-protocol/session-id";
import { type Hosts, hostname, plainAddress } from "../auth/hosts.ts";
import { expectsContinue } from "../base/expect-continue.ts";
import type { Logger } from "../base/log.ts";
import type { RequestRoute, UpgradeRoute } from "../base/routes.ts";
import { serveAsUpgrade } from "../base/served-upgrades.ts";
import { AUTH_REDIRECT_PATH, MAX_SIGN_IN_TARGET } from "../base/sign-in-path.ts";
import { UnknownSenders } from "../base/unknown-senders.ts";
import type { UpgradeSources } from "../base/upgrade-sources.ts";
import { BUILD_VERSION } from "../base/version.ts";
import { wantsHtml } from "../base/wants-html.ts";
import { failureOf, HttpFailure } from "./failure.ts";
import { hostRoute } from "./host-route.ts";
import type { HttpLimits } from "./limits.ts";
import { longHeadHeaders, longHeadPage } from "./long-head.ts";
import { rejectUpgrade } from "./reject-upgrade.ts";

/** Probes use whatever host name they know, and do not follow redirects. */
const PROBES: ReadonlySet<string> = new Set(["/healthz", "/readyz", "/latency-check"]);
const WEBSOCKET: readonly string[] = ["websocket"];

export interface FrontDoorOptions {
  readonly requestRoutes: readonly RequestRoute[];
  readonly upgradeRoutes: readonly UpgradeRoute[];
  /** Handles every request that no request route takes. Absent: 404. */
  readonly rest?: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  readonly hosts: Pick<Hosts, "isOurs">;
  /** The client's address; behind a trusted proxy, the one that the proxy names. */
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly settings: {
    readonly accessUrl: URL | undefined;
    readonly redirectToAccessUrl: boolean;
    readonly hstsMaxAgeSeconds: number;
  };
  readonly limits: Pick<HttpLimits, "headerBytes" | "urlLength" | "requestTimeoutMs" | "requests">;
  readonly log: Logger;
  readonly recordRequest?: (method: string, status: number, seconds: number) => void;
  readonly upgradeSources?: UpgradeSources;
  /** Serves the hosts of workspace apps. */
  readonly apps?: AppHosts | undefined;
}

/** Hosts and paths that belong to programs of workspaces: the server's own routes, headers and limits do not apply there. */
export interface AppHosts {
  /** @param hostname In lower case, without a port. */
  isAppHost(hostname: string): boolean;
  /** @param target The request target as received. */
  isAppPath(target: string): boolean;
  /** @param hostname Undefined for an app at a path of the server's own host. */
  request(request: IncomingMessage, response: ServerResponse, hostname: string | undefined): Promise<void>;
  upgrades(request: IncomingMessage): boolean;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, hostname: string | undefined): Promise<void>;
}

/**
 * Handles every request and upgrade before a route sees it: limits, Host, redirect, common headers, log. An error that a route
 * does not handle becomes an answer here.
 */
export class FrontDoor {
  readonly #options: FrontDoorOptions;
  readonly #upgraded = new Set<Duplex>();
  readonly #senders: UnknownSenders;
  #closing = false;

  constructor(options: FrontDoorOptions) {
    this.#options = options;
    this.#senders = new UnknownSenders(options.limits.requests);
  }

  request(request: IncomingMessage, response: ServerResponse): void {
    const started = process.hrtime.bigint();
    const method = request.method ?? "GET";
    const { apps } = this.#options;
    const host = hostRoute(request, this.#options.hosts, apps);
    if (typeof host === "object" && apps !== undefined) {
      this.#appRequest(apps, request, response, host.appHost);
      return;
    }
    if (host === "app path" && apps !== undefined && !this.#goesElsewhere(request)) {
      this.#appRequest(apps, request, response, undefined);
      return;
    }
    this.#commonHeaders(request, response);
    const url = host === "malformed" ? hostMissing() : this.#admit(request);
    const route = url instanceof URL ? this.#requestRoute(url, method) : undefined;
    const takesSlowBody = route?.slowBodies?.includes(method) === true;
    if (!takesSlowBody) this.#endSlowBody(request, response);
    response.once("close", () => {
      const seconds = Number(process.hrtime.bigint() - started) / 1e9;
      this.#options.recordRequest?.(method, response.statusCode, seconds);
      const path = url instanceof URL ? url.pathname : undefined;
      const session = sessionFields(request, url instanceof URL ? url : undefined);
      const ms = Math.round(seconds * 1000);
      this.#options.log.debug({ method, path, status: response.statusCode, ms, ...session }, "request");
    });
    if (url instanceof HttpFailure) {
      if (url.status === 431 && wantsHtml(request)) {
        const page = longHeadPage(hostname(request.headers.host) ?? "");
        response.writeHead(431, longHeadHeaders(page)).end(page);
      } else answerFailure(response, url);
      return;
    }
    const elsewhere = this.#redirectTarget(request, url);
    if (elsewhere !== undefined) {
      response.writeHead(307, { Location: elsewhere, "Content-Length": "0" }).end();
      return;
    }
    if (!this.#options.hosts.isOurs(request)) {
      answerFailure(response, unknownHost(request));
      return;
    }
    if (route === undefined && this.#options.upgradeRoutes.some((other) => other.upgradeOnly && other.match(url))) {
      answerFailure(response, upgradeRequired());
      return;
    }
    Promise.resolve()
      .then(() => {
        this.#senders.admit(request, response, this.#options.clientAddress(request));
        if (!takesSlowBody && expectsContinue(request)) response.writeContinue();
        if (route !== undefined) return route.handle(request, response);
        if (this.#options.rest === undefined) throw routeNotFound();
        return this.#options.rest(request, response);
      })
      .catch((error: unknown) => {
        const failure = failureOf(error);
        if (failure === undefined) {
          this.#options.log.error({ err: error, method, path: url.pathname }, "request failed");
        }
        if (response.headersSent) response.destroy();
        else answerFailure(response, failure ?? new HttpFailure(500, "An internal server error occurred."));
      });
  }

  /**
   * Whether a route supports a protocol that the request offers to change to. Any other `Upgrade` is ignored and the request is
   * served as a plain one (RFC 9110 §7.8), because HTTP clients offer h2c with their first request.
   */
  upgrades(request: IncomingMessage): boolean {
    const { apps } = this.#options;
    const host = hostRoute(request, this.#options.hosts, apps);
    if (host !== "main" && host !== "malformed" && apps !== undefined) return apps.upgrades(request);
    const text = request.url ?? "/";
    return (
      URL.canParse(`http://unused${text}`) && this.#upgradeRoute(request, new URL(`http://unused${text}`)) !== undefined
    );
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Without a listener, an error on the socket, such as a reset, would end the process.
    socket.on("error", () => socket.destroy());
    this.#upgraded.add(socket);
    socket.once("close", () => this.#upgraded.delete(socket));
    serveAsUpgrade(request);
    const { apps } = this.#options;
    const host = hostRoute(request, this.#options.hosts, apps);
    if (typeof host === "object" && apps !== undefined) {
      this.#appUpgrade(apps, request, socket, head, host.appHost);
      return;
    }
    if (host === "app path" && apps !== undefined) {
      this.#appUpgrade(apps, request, socket, head, undefined);
      return;
    }
    const url = host === "malformed" ? hostMissing() : this.#admit(request);
    if (url instanceof HttpFailure) {
      rejectUpgrade(socket, url);
      return;
    }
    if (!this.#options.hosts.isOurs(request)) {
      rejectUpgrade(socket, unknownHost(request));
      return;
    }
    const route = this.#upgradeRoute(request, url);
    if (route === undefined) {
      rejectUpgrade(socket, routeNotFound());
      return;
    }
    this.#recordSource(request);
    const session = sessionFields(request, url);
    // Upgrades are few and long-lived, and operators search for a session by its id, so these are logged at the level that
    // servers use by default.
    this.#options.log[SESSION_ID_KEY in session ? "info" : "debug"](
      { path: url.pathname, route: route.name, ...session },
      "upgrade",
    );
    const written = bytesWrittenTo(socket);
    Promise.resolve()
      .then(() => route.handle(request, socket, head))
      .catch((error: unknown) => {
        const failure = failureOf(error);
        // After the handshake, a second answer would be read as frames of the WebSocket.
        const isAnswered = bytesWrittenTo(socket) > written;
        if (failure !== undefined && !isAnswered) {
          rejectUpgrade(socket, failure);
          return;
        }
        const level = failure === undefined ? "error" : "warn";
        this.#options.log[level]({ err: error, route: route.name }, "upgrade failed");
        socket.destroy();
      });
  }

  /** From now on, new requests get 503. */
  startClosing(): void {
    this.#closing = true;
  }

  /** Number of open sockets that were upgraded. */
  get upgradedCount(): number {
    return this.#upgraded.size;
  }

  destroyUpgraded(): void {
    for (const socket of this.#upgraded) socket.destroy();
  }

  #appRequest(apps: AppHosts, request: IncomingMessage, response: ServerResponse, hostname: string | undefined): void {
    if (this.#closing) {
      answerFailure(response, closing());
      return;
    }
    apps.request(request, response, hostname).catch((error: unknown) => {
      this.#options.log.error({ err: error, host: hostname }, "request to an app failed");
      if (response.headersSent) response.destroy();
      else answerFailure(response, new HttpFailure(500, "An internal server error occurred."));
    });
  }

  #appUpgrade(
    apps: AppHosts,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    hostname: string | undefined,
  ): void {
    if (this.#closing) {
      rejectUpgrade(socket, closing());
      return;
    }
    apps.upgrade(request, socket, head, hostname).catch((error: unknown) => {
      this.#options.log.error({ err: error, host: hostname }, "upgrade to an app failed");
      socket.destroy();
    });
  }

  /** Whether --redirect-to-access-url redirects this request. */
  #goesElsewhere(request: IncomingMessage): boolean {
    const text = `http://unused${request.url ?? "/"}`;
    return URL.canParse(text) && this.#redirectTarget(request, new URL(text)) !== undefined;
  }

  /** The listener lets a body take any time, for the sake of apps and files; other routes limit it here. */
  #endSlowBody(request: IncomingMessage, response: ServerResponse): void {
    if (request.headers["content-length"] === undefined && request.headers["transfer-encoding"] === undefined) return;
    const late = setTimeout(() => {
      if (request.complete) return;
      if (!response.headersSent) {
        answerFailure(
          response,
          new HttpFailure(408, "The request took too long.", { headers: { Connection: "close" } }),
        );
      }
      request.destroy();
    }, this.#options.limits.requestTimeoutMs);
    response.once("close", () => clearTimeout(late));
  }

  #requestRoute(url: URL, method: string): RequestRoute | undefined {
    return this.#options.requestRoutes.find((candidate) => candidate.match(url, method));
  }

  #upgradeRoute(request: IncomingMessage, url: URL): UpgradeRoute | undefined {
    const offered = (request.headers.upgrade ?? "").split(",").map((protocol) => protocol.trim().toLowerCase());
    return this.#options.upgradeRoutes.find(
      (route) => (route.protocols ?? WEBSOCKET).some((protocol) => offered.includes(protocol)) && route.match(url),
    );
  }

  /** The path and query of a request, or why it is refused. */
  #admit(request: IncomingMessage): URL | HttpFailure {
    const text = request.url ?? "/";
    const { urlLength, headerBytes } = this.#options.limits;
    // A sign-in carries the address of an app, which may be longer than those of the server's own routes.
    const isSignIn = text.startsWith(`${AUTH_REDIRECT_PATH}?`) && text.length <= MAX_SIGN_IN_TARGET;
    if (text.length > urlLength && !isSignIn) return new HttpFailure(414, "The URL is too long");
    if (this.#closing) return closing();
    if (headBytes(request) - (isSignIn ? text.length : 0) > headerBytes)
      return new HttpFailure(431, "The headers are too long");
    // Pages of apps below a path share this origin, so a service worker of theirs would answer for the dashboard, whatever its
    // script.
    if (request.headers["service-worker"] !== undefined)
      return new HttpFailure(403, "There are no service workers here");
    if (!text.startsWith("/") || !URL.canParse(`http://unused${text}`)) return new HttpFailure(400, "Bad URL");
    return new URL(`http://unused${text}`);
  }

  /**
   * Records an upgrade whose sender is, as far as this server knows, the client itself: no trusted proxy names another address.
   */
  #recordSource(request: IncomingMessage): void {
    const address = this.#options.clientAddress(request);
    if (address !== plainAddress(request.socket.remoteAddress ?? "")) return;
    this.#options.upgradeSources?.record({ address, namesClients: "x-forwarded-for" in request.headers });
  }

  #commonHeaders(request: IncomingMessage, response: ServerResponse): void {
    response.setHeader(BUILD_VERSION_HEADER, BUILD_VERSION);
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("X-Frame-Options", "DENY");
    response.setHeader("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    const maxAge = this.#options.settings.hstsMaxAgeSeconds;
    if (maxAge > 0 && "encrypted" in request.socket) {
      response.setHeader("Strict-Transport-Security", `max-age=${maxAge}`);
    }
  }

  /**
   * Where --redirect-to-access-url redirects a request under another host name. Requests to the relay, probes and agents are not
   * redirected: some agents use an address of their own (CODER_AGENT_URL) because they cannot reach the access URL.
   */
  #redirectTarget(request: IncomingMessage, url: URL): string | undefined {
    const { redirectToAccessUrl, accessUrl } = this.#options.settings;
    if (!redirectToAccessUrl || accessUrl === undefined) return undefined;
    const { pathname } = url;
    if (pathname.startsWith("/api/v2/workspaceagents/me/")) return undefined;
    if (PROBES.has(pathname) || pathname.startsWith("/derp")) return undefined;
    if (request.headers.host?.toLowerCase() === accessUrl.host) return undefined;
    return `${accessUrl.origin}${pathname}${url.search}`;
  }
}

/**
 * The client session to which a request belongs: from its baggage or, for a web page, from its query. Only a valid id is logged.
 */
function sessionFields(request: IncomingMessage, url: URL | undefined): { readonly [SESSION_ID_KEY]?: string } {
  const queried = url?.searchParams.get(SESSION_ID_KEY) ?? "";
  const id = sessionIdOfBaggage(request.headers["baggage"]?.toString()) ?? (isSessionId(queried) ? queried : undefined);
  return id === undefined ? {} : { [SESSION_ID_KEY]: id };
}

function answerFailure(response: ServerResponse, failure: HttpFailure): void {
  response.writeHead(failure.status, { "Content-Type": "application/json; charset=utf-8", ...failure.headers });
  response.end(`${JSON.stringify(failure.body)}\n`);
}

function bytesWrittenTo(socket: Duplex): number {
  return socket instanceof Socket ? socket.bytesWritten : 0;
}

function hostMissing(): HttpFailure {
  return new HttpFailure(400, "A request has exactly one Host header");
}

function closing(): HttpFailure {
  return new HttpFailure(503, "The server is shutting down", { headers: { Connection: "close" } });
}

function headBytes({ rawHeaders, url = "" }: IncomingMessage): number {
  return rawHeaders.reduce((sum, text) => sum + text.length, url.length);
}

function routeNotFound(): HttpFailure {
  return new HttpFailure(404, "Route not found.");
}

function unknownHost(request: IncomingMessage): HttpFailure {
  const host = (request.headers.host ?? "").slice(0, 128);
  return new HttpFailure(421, `This server does not answer for the host ${JSON.stringify(host)}`, {
    detail: "An administrator can allow it with --access-url or --allowed-hosts",
  });
}

function upgradeRequired(): HttpFailure {
  return new HttpFailure(426, "This path takes WebSockets only.", {
    detail: "The request has no Upgrade header; a proxy on the way may have removed it.",
    headers: { Upgrade: "websocket", Connection: "Upgrade" },
  });
}
