import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { BUILD_VERSION_HEADER } from "coder-protocol/rest/common";
import { isSessionId, SESSION_ID_KEY, sessionIdOfBaggage } from "coder-protocol/session-id";
import { HttpFailure } from "../base/errors.ts";
import { Places } from "../base/places.ts";
import { BUILD_VERSION } from "../base/version.ts";
import type { RequestRoute, ServerContext, UpgradeRoute } from "./context.ts";
import { rejectUpgrade } from "./reply.ts";

const WEBSOCKET: readonly string[] = ["websocket"];

export interface FrontDoorParts {
  readonly requestRoutes: readonly RequestRoute[];
  readonly upgradeRoutes: readonly UpgradeRoute[];
  /** Everything no request route takes. */
  rest(request: IncomingMessage, response: ServerResponse): Promise<void>;
  recordRequest(method: string, status: number, seconds: number): void;
}

/**
 * What happens to every request and upgrade before a route sees it: limits, Host, redirect, common headers, log,
 * and an end for whatever a route lets escape.
 */
export class FrontDoor {
  readonly #context: ServerContext;
  readonly #parts: FrontDoorParts;
  readonly #upgraded = new Set<Duplex>();
  readonly #requests: Places;
  #closing = false;

  constructor(context: ServerContext, parts: FrontDoorParts) {
    this.#context = context;
    this.#parts = parts;
    this.#requests = new Places("requests", context.limits.requests);
  }

  request(request: IncomingMessage, response: ServerResponse): void {
    const started = process.hrtime.bigint();
    const method = request.method ?? "GET";
    this.#commonHeaders(request, response);
    const url = this.#admit(request);
    response.once("close", () => {
      const seconds = Number(process.hrtime.bigint() - started) / 1e9;
      this.#parts.recordRequest(method, response.statusCode, seconds);
      const path = url instanceof URL ? url.pathname : undefined;
      const session = sessionFields(request, url instanceof URL ? url : undefined);
      const ms = Math.round(seconds * 1000);
      this.#context.log.debug({ method, path, status: response.statusCode, ms, ...session }, "request");
    });
    if (url instanceof HttpFailure) {
      answerFailure(response, url);
      return;
    }
    const elsewhere = this.#redirectTarget(request, url);
    if (elsewhere !== undefined) {
      response.writeHead(307, { Location: elsewhere, "Content-Length": "0" }).end();
      return;
    }
    if (!this.#context.hosts.isOurs(request)) {
      answerFailure(response, unknownHost(request));
      return;
    }
    const route = this.#parts.requestRoutes.find((candidate) => candidate.match(url, method));
    if (route === undefined && this.#parts.upgradeRoutes.some((other) => other.upgradeOnly && other.match(url))) {
      answerFailure(response, upgradeRequired());
      return;
    }
    let leave: () => void;
    try {
      leave = this.#requests.take({ address: this.#context.clientAddress(request) });
    } catch (error) {
      if (!(error instanceof HttpFailure)) throw error;
      answerFailure(response, error);
      return;
    }
    response.once("close", leave);
    const work =
      route === undefined
        ? this.#parts.rest(request, response)
        : Promise.resolve().then(() => route.handle(request, response));
    work.catch((error: unknown) => {
      this.#context.log.error({ err: error, method, path: url.pathname }, "request failed");
      if (response.headersSent) response.destroy();
      else answerFailure(response, new HttpFailure(500, "An internal server error occurred."));
    });
  }

  /**
   * Whether a route speaks a protocol that the request offers to change to. Any other `Upgrade` is ignored and the request
   * served as it is (RFC 9110 §7.8): HTTP clients offer h2c with their first request.
   */
  upgrades(request: IncomingMessage): boolean {
    const text = request.url ?? "/";
    return (
      URL.canParse(`http://unused${text}`) && this.#upgradeRoute(request, new URL(`http://unused${text}`)) !== undefined
    );
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Without a listener an error on the socket, such as a reset, would end the process.
    socket.on("error", () => socket.destroy());
    this.#upgraded.add(socket);
    socket.once("close", () => this.#upgraded.delete(socket));
    const url = this.#admit(request);
    if (url instanceof HttpFailure) {
      rejectUpgrade(socket, url);
      return;
    }
    if (!this.#context.hosts.isOurs(request)) {
      rejectUpgrade(socket, unknownHost(request));
      return;
    }
    const route = this.#upgradeRoute(request, url);
    if (route === undefined) {
      rejectUpgrade(socket, new HttpFailure(404, "Route not found."));
      return;
    }
    const session = sessionFields(request, url);
    // Few and long: what a session is searched by is said at the level that servers log at.
    this.#context.log[SESSION_ID_KEY in session ? "info" : "debug"](
      { path: url.pathname, route: route.name, ...session },
      "upgrade",
    );
    Promise.resolve()
      .then(() => route.handle(request, socket, head))
      .catch((error: unknown) => {
        this.#context.log.error({ err: error, route: route.name }, "upgrade failed");
        socket.destroy();
      });
  }

  /** From here on new requests get 503. */
  startClosing(): void {
    this.#closing = true;
  }

  destroyUpgraded(): void {
    for (const socket of this.#upgraded) socket.destroy();
  }

  #upgradeRoute(request: IncomingMessage, url: URL): UpgradeRoute | undefined {
    const offered = (request.headers.upgrade ?? "").split(",").map((protocol) => protocol.trim().toLowerCase());
    return this.#parts.upgradeRoutes.find(
      (route) => (route.protocols ?? WEBSOCKET).some((protocol) => offered.includes(protocol)) && route.match(url),
    );
  }

  /** The path and query of a request, or why it goes no further. */
  #admit(request: IncomingMessage): URL | HttpFailure {
    const text = request.url ?? "/";
    if (text.length > this.#context.limits.urlLength) return new HttpFailure(414, "The URL is too long");
    if (this.#closing) {
      return new HttpFailure(503, "The server is shutting down", { headers: { Connection: "close" } });
    }
    if (!text.startsWith("/") || !URL.canParse(`http://unused${text}`)) return new HttpFailure(400, "Bad URL");
    return new URL(`http://unused${text}`);
  }

  #commonHeaders(request: IncomingMessage, response: ServerResponse): void {
    response.setHeader(BUILD_VERSION_HEADER, BUILD_VERSION);
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("X-Frame-Options", "DENY");
    response.setHeader("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    const maxAge = this.#context.config.hstsMaxAgeSeconds;
    if (maxAge > 0 && "encrypted" in request.socket) {
      response.setHeader("Strict-Transport-Security", `max-age=${maxAge}`);
    }
  }

  /**
   * With --redirect-to-access-url: where a request under another name belongs. Relay and probes stay, and so do agents:
   * some reach us by an address of their own (CODER_AGENT_URL) because they cannot reach the access URL.
   */
  #redirectTarget(request: IncomingMessage, url: URL): string | undefined {
    const { redirectToAccessUrl, accessUrl } = this.#context.config;
    if (!redirectToAccessUrl || accessUrl === undefined) return undefined;
    const { pathname } = url;
    if (pathname.startsWith("/api/v2/workspaceagents/me/")) return undefined;
    if (pathname === "/healthz" || pathname === "/latency-check" || pathname.startsWith("/derp")) return undefined;
    if (request.headers.host?.toLowerCase() === accessUrl.host) return undefined;
    return `${accessUrl.origin}${pathname}${url.search}`;
  }
}

/** The client session that a request belongs to: of its baggage or, from a web page, of its query. Only a valid one is logged. */
function sessionFields(request: IncomingMessage, url: URL | undefined): { readonly [SESSION_ID_KEY]?: string } {
  const queried = url?.searchParams.get(SESSION_ID_KEY) ?? "";
  const id = sessionIdOfBaggage(request.headers["baggage"]?.toString()) ?? (isSessionId(queried) ? queried : undefined);
  return id === undefined ? {} : { [SESSION_ID_KEY]: id };
}

function answerFailure(response: ServerResponse, failure: HttpFailure): void {
  response.writeHead(failure.status, { "Content-Type": "application/json; charset=utf-8", ...failure.headers });
  response.end(`${JSON.stringify(failure.body)}\n`);
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
