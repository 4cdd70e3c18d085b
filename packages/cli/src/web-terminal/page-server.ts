/**
 * Serves the page of a terminal on 127.0.0.1, to one browser of one user. Every request passes the same checks in the same
 * order: the user of this machine, the host name, the origin, the cookie.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Places } from "coder-server/base/places";
import type { RequestRoute } from "coder-server/base/routes";
import { REPORTS_PATH } from "coder-server/http/dashboard/policy";
import { failureOf, HttpFailure } from "coder-server/http/failure";
import { rejectUpgrade } from "coder-server/http/reject-upgrade";
import { ENTER_PATH, ENTER_POLICY, ENTER_SCRIPT, ENTER_SCRIPT_PATH, enterPage } from "./enter-page.ts";
import { Entrance, type Refusal } from "./entrance.ts";
import type { PagePresence } from "./page-presence.ts";
import { clientUser, type Ends } from "./peer-user.ts";
import { sendJson, type WorkspaceApi } from "./workspace-api.ts";

/** Terminals that may be open at the same time; a page has one for each of its tabs. */
export const MAX_TERMINALS = 64;
const MAX_CONNECTIONS = 256;
const MAX_SECRET_BYTES = 256;
const MAX_HEAD_BYTES = 16 * 1024;
const HEAD_TIMEOUT_MS = 10_000;
/** How long answers under way may take after the end. */
const GRACE_MS = 500;
/** How long a connection of another user may last. */
const FOREIGN_MS = 1_000;
/** The account that forwards connections for others: containers, virtual machines, `ssh -L` of a system. */
const ROOT = 0;

const OTHER_USER: Refusal = { status: 403, text: "Only the user who started this terminal may connect." };
const NO_COOKIE: Refusal = {
  status: 401,
  text: "This browser may not use the terminal. Open the address that the command printed; it works once. For another browser, start the command again.",
};

export interface PageServerParts {
  /** Path of the terminal's page. */
  readonly page: string;
  /** The dashboard's page and files. */
  readonly dashboard: RequestRoute;
  readonly api: Pick<WorkspaceApi, "handle">;
  /** Completes the upgrade of a terminal. Throws DomainError. */
  readonly openTerminal: (request: IncomingMessage, socket: Duplex, head: Buffer, url: URL) => void;
  readonly presence: Pick<PagePresence, "seen" | "opened">;
  /** The user of this machine at the other end of a connection, as {@link clientUser} finds it. */
  readonly clientUser?: (ends: Ends) => Promise<number | "gone" | undefined>;
  readonly maxTerminals?: number;
}

export class PageServer implements AsyncDisposable {
  readonly entrance: Entrance;
  readonly #parts: PageServerParts;
  readonly #server: Server;
  readonly #places: Places;
  readonly #users = new WeakMap<object, Promise<boolean>>();
  readonly #upgraded = new Set<Duplex>();

  /** Listens on a free port of 127.0.0.1. */
  static async start(parts: PageServerParts): Promise<PageServer> {
    const server = createServer({ maxHeaderSize: MAX_HEAD_BYTES, headersTimeout: HEAD_TIMEOUT_MS, requestTimeout: 0 });
    server.maxConnections = MAX_CONNECTIONS;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new PageServer(server, parts);
  }

  private constructor(server: Server, parts: PageServerParts) {
    this.#server = server;
    this.#parts = parts;
    this.#places = new Places("terminals", { total: parts.maxTerminals ?? MAX_TERMINALS });
    this.entrance = new Entrance((server.address() as AddressInfo).port);
    server.on("connection", (socket) => this.#connected(socket));
    server.on("request", (request, response) => {
      this.#request(request, response).catch(() => response.destroy());
    });
    server.on("upgrade", (request, socket, head) => {
      this.#upgrade(request, socket, head).catch(() => socket.destroy());
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeIdleConnections();
    const late = setTimeout(() => {
      this.#server.closeAllConnections();
      // Node no longer counts the sockets of upgrades among its connections.
      for (const socket of this.#upgraded) socket.destroy();
    }, GRACE_MS);
    await closed;
    clearTimeout(late);
  }

  #connected(socket: Socket): void {
    const { localPort = 0, remotePort = 0 } = socket;
    const find = this.#parts.clientUser ?? clientUser;
    const own = process.getuid?.();
    const admitted = find({ localPort, remotePort }).then(
      (user) => user === undefined || own === undefined || user === own || user === ROOT,
      () => false, // the table could not be read, though it exists
    );
    this.#users.set(socket, admitted);
    // Time for the refusal; connections of others leave room for the user's own.
    void admitted.then((is) => is || setTimeout(() => socket.destroy(), FOREIGN_MS).unref());
  }

  /** Why the sender may do nothing here. */
  async #refusal(request: IncomingMessage, acts: boolean): Promise<Refusal | undefined> {
    if ((await this.#users.get(request.socket)) !== true) return OTHER_USER;
    return this.entrance.refusal(request, acts);
  }

  async #request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET" } = request;
    const reads = method === "GET" || method === "HEAD";
    const refusal = await this.#refusal(request, !reads);
    if (refusal !== undefined) return sendText(response, refusal.status, refusal.text);
    const url = new URL(`http://unused${request.url}`);
    const { pathname } = url;
    if (pathname === "/" && reads) return sendEnter(response, 200, "Opening the terminal…", true);
    if (pathname === ENTER_SCRIPT_PATH && reads) return sendScript(response);
    if (pathname === ENTER_PATH && method === "POST") return await this.#enter(request, response);
    if (!this.entrance.knows(request)) {
      if (pathname.startsWith("/api/")) return sendJson(response, NO_COOKIE.status, { message: NO_COOKIE.text });
      return sendEnter(response, NO_COOKIE.status, NO_COOKIE.text, false);
    }
    this.#parts.presence.seen();
    await this.#page(request, response, url);
  }

  async #page(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const { dashboard, api, page } = this.#parts;
    const pathname = url.pathname.replace(/^\/%40/, "/@");
    const isPage = pathname === page || /^\/(?:assets|icon)\//.test(pathname) || pathname === REPORTS_PATH;
    if (isPage && dashboard.match(url, request.method ?? "GET")) await dashboard.handle(request, response);
    else if (pathname.startsWith("/api/")) await api.handle(request, response, url);
    else sendEnter(response, 404, "There is no such page here: this command serves one terminal.", false);
  }

  /** The browser that brings the secret gets the cookie; one that has it is led on. */
  async #enter(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const secret = await shortBody(request);
    const cookie = secret === undefined ? undefined : this.entrance.exchange(secret);
    if (cookie === undefined && !this.entrance.knows(request))
      return sendText(response, NO_COOKIE.status, NO_COOKIE.text);
    if (cookie !== undefined) response.setHeader("Set-Cookie", cookie);
    this.#parts.presence.seen();
    sendText(response, 200, this.#parts.page);
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => undefined); // "close" follows
    this.#upgraded.add(socket);
    socket.once("close", () => this.#upgraded.delete(socket));
    const refusal = (await this.#refusal(request, true)) ?? (this.entrance.knows(request) ? undefined : NO_COOKIE);
    if (refusal !== undefined) return rejectUpgrade(socket, new HttpFailure(refusal.status, refusal.text));
    if (socket.destroyed) return;
    try {
      this.#places.takeUntilClosed({}, socket);
      socket.once("close", this.#parts.presence.opened());
      this.#parts.openTerminal(request, socket, head, new URL(`http://unused${request.url}`));
    } catch (error) {
      const failure = failureOf(error);
      if (failure === undefined) throw error;
      rejectUpgrade(socket, failure);
    }
  }
}

const HEADERS = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Content-Security-Policy": ENTER_POLICY,
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Frame-Options": "DENY",
};

function sendEnter(response: ServerResponse, status: number, text: string, script: boolean): void {
  send(response, status, "text/html", enterPage(text, script));
}

function sendScript(response: ServerResponse): void {
  send(response, 200, "text/javascript", ENTER_SCRIPT);
}

function sendText(response: ServerResponse, status: number, text: string): void {
  send(response, status, "text/plain", text);
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, {
    ...HEADERS,
    "Content-Type": `${type}; charset=utf-8`,
    "Content-Length": Buffer.byteLength(text),
  });
  response.end(response.req.method === "HEAD" ? undefined : text);
}

/** Undefined if it is longer than any secret. */
async function shortBody(request: IncomingMessage): Promise<string | undefined> {
  let text = "";
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > MAX_SECRET_BYTES) return undefined;
  }
  return text;
}
