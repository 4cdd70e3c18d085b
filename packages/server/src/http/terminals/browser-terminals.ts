/**
 * The browser's terminal: GET /workspaceagents/{id}/pty as a WebSocket, bridged to the reconnecting terminal of the agent
 * (port 2 of its tunnel). Messages are passed on as they are: JSON objects towards the program, raw bytes towards the page.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { isUuid } from "coder-protocol/addresses";
import { BUILD_VERSION_HEADER } from "coder-protocol/rest/common";
import { TERMINAL_PORT } from "coder-protocol/tunnel-ports";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import type { AccessHolder } from "../../auth/access-events.ts";
import type { AccessWatch } from "../../auth/access-watch.ts";
import { type Authenticator, holderOf } from "../../auth/authenticator.ts";
import { DomainError, notFound } from "../../base/domain-error.ts";
import type { Logger } from "../../base/log.ts";
import type { OpenStreams } from "../../base/open-streams.ts";
import { type PlaceLimits, Places } from "../../base/places.ts";
import type { UpgradeRoute } from "../../base/routes.ts";
import { CLOSE_GOING_AWAY, CLOSE_NORMAL, CLOSE_POLICY } from "../../base/text-sockets.ts";
import { BUILD_VERSION } from "../../base/version.ts";
import type { AgentTunnels } from "../../tunnels/agent-tunnels.ts";
import { TerminalOwners } from "./terminal-owners.ts";

const PATH = /^\/api\/v2\/workspaceagents\/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\/pty$/;
/** RFC 6455 §7.4.1: an internal error. */
const CLOSE_INTERNAL_ERROR = 1011;
/** One message is one input object; the agent takes no longer ones. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** Unsent output at which reading from the agent pauses. */
const HIGH_WATER_BYTES = 512 * 1024;
const PING_EVERY_MS = 15_000;
/** An agent that is silent for this long while data waits is gone. */
const AGENT_TIMEOUT_MS = 60_000;
const MAX_COMMAND_LENGTH = 4096;

/** The first message of the agent's protocol, with its names. */
interface Init {
  readonly ID: string;
  readonly Height: number;
  readonly Width: number;
  readonly Command: string;
  readonly Container: string;
  readonly ContainerUser: string;
  readonly BackendType: string;
  /** An extension: a terminal that one user opened is refused to others. Agents that do not know the field ignore it. */
  readonly User: string;
}

export interface BrowserTerminalsOptions {
  readonly authenticator: Authenticator;
  readonly access: AccessWatch;
  readonly tunnels: AgentTunnels;
  readonly streams: OpenStreams;
  readonly limits: PlaceLimits;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly log: Logger;
}

export class BrowserTerminals {
  readonly #options: BrowserTerminalsOptions;
  readonly #places: Places;
  readonly #owners = new TerminalOwners();
  readonly #server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES });

  constructor(options: BrowserTerminalsOptions) {
    this.#options = options;
    this.#places = new Places("terminals", options.limits);
    this.#server.on("headers", (headers) => headers.push(`${BUILD_VERSION_HEADER}: ${BUILD_VERSION}`));
  }

  get route(): UpgradeRoute {
    return {
      name: "terminal",
      match: (url) => PATH.test(url.pathname),
      handle: (request, socket, head) => this.#handle(request, socket, head),
    };
  }

  async #handle(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { authenticator, clientAddress } = this.#options;
    const auth = await authenticator.authenticateUser(request);
    if (auth instanceof DomainError) throw auth;
    const url = new URL(request.url ?? "/", "http://unused");
    const agentId = (PATH.exec(url.pathname)?.[1] ?? "").toLowerCase();
    if ((await authenticator.canReachAgent(auth.user, agentId)) === undefined) throw notFound();
    const init = readInit(url.searchParams, auth.user.id);
    if (!this.#owners.claim(agentId, init.ID, auth.user.id))
      throw new DomainError("forbidden", "This terminal belongs to another user");
    socket.once("close", this.#places.take({ userId: auth.user.id, address: clientAddress(request) }));
    // ws answers a malformed handshake itself and then never calls back; the socket closes.
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      void this.#serve(
        webSocket,
        init,
        { agentId, keyId: auth.key.id, token: auth.token },
        holderOf(auth, { agentId }),
      );
    });
  }

  /** A page cannot see why an upgrade was refused: any failure from here on is shown in the terminal. */
  async #serve(
    webSocket: WebSocket,
    init: Init,
    request: { agentId: string; keyId: string; token: string },
    holder: AccessHolder,
  ): Promise<void> {
    const leaveStreams = this.#options.streams.add({
      end: () => webSocket.close(CLOSE_GOING_AWAY, "server is shutting down"),
      destroy: () => webSocket.terminate(),
    });
    webSocket.on("error", () => undefined); // "close" follows
    const stopWatching = this.#watch(webSocket, holder);
    const closed = new Promise<void>((resolve) => webSocket.once("close", () => resolve()));
    webSocket.pause(); // keystrokes wait for the agent
    try {
      const tunnel = await this.#options.tunnels.acquire(request);
      try {
        const stream = await tunnel.connection.dial(TERMINAL_PORT, { userTimeoutMs: AGENT_TIMEOUT_MS });
        bridge(webSocket, stream, init);
        webSocket.resume();
        await closed;
      } finally {
        tunnel.release();
      }
    } catch (error) {
      this.#options.log.info({ err: error, agent: request.agentId }, "a browser's terminal could not be opened");
      webSocket.resume();
      webSocket.send(Buffer.from(`coder: ${error instanceof Error ? error.message : String(error)}\r\n`));
      webSocket.close(CLOSE_INTERNAL_ERROR, "no connection to the workspace");
    }
    await closed;
    stopWatching();
    leaveStreams();
  }

  /** Ends the socket when the page no longer answers, or its access ends. */
  #watch(webSocket: WebSocket, holder: AccessHolder): () => void {
    let answered = true;
    webSocket.on("pong", () => {
      answered = true;
    });
    const pinging = setInterval(() => {
      // A paused socket receives no pong; it waits for the agent, not for the page.
      if (!answered && !webSocket.isPaused) webSocket.terminate();
      answered = false;
      webSocket.ping();
    }, PING_EVERY_MS);
    pinging.unref();
    const leave = this.#options.access.start(holder, { lost: () => webSocket.close(CLOSE_POLICY, "access ended") });
    return () => {
      clearInterval(pinging);
      leave();
    };
  }
}

/** Back-pressure both ways; the end of either is the end of both. */
function bridge(webSocket: WebSocket, stream: Duplex, init: Init): void {
  const json = Buffer.from(JSON.stringify(init));
  const head = Buffer.alloc(2);
  head.writeUInt16LE(json.length);
  stream.write(Buffer.concat([head, json])); // one write: agents read it with one read
  stream.on("data", (output: Uint8Array) => {
    webSocket.send(output, { binary: true }, () => {
      if (webSocket.bufferedAmount < HIGH_WATER_BYTES / 2) stream.resume();
    });
    if (webSocket.bufferedAmount > HIGH_WATER_BYTES) stream.pause();
  });
  stream.on("drain", () => webSocket.resume());
  stream.on("end", () => webSocket.close(CLOSE_NORMAL, ""));
  stream.on("error", () => undefined); // "close" follows
  stream.on("close", () => webSocket.close(CLOSE_INTERNAL_ERROR, "the connection to the workspace ended"));
  webSocket.on("message", (message: RawData) => {
    if (!stream.writable) return;
    if (!stream.write(asBuffer(message))) webSocket.pause();
  });
  webSocket.on("close", () => stream.destroy());
  if (webSocket.readyState !== webSocket.OPEN) stream.destroy();
}

function asBuffer(message: RawData): Buffer {
  if (Array.isArray(message)) return Buffer.concat(message);
  return Buffer.isBuffer(message) ? message : Buffer.from(message);
}

/** Throws DomainError "invalid". */
function readInit(query: URLSearchParams, userId: string): Init {
  const problems: { field: string; detail: string }[] = [];
  const id = (query.get("reconnect") ?? "").toLowerCase();
  if (!isUuid(id)) problems.push({ field: "reconnect", detail: 'Query param "reconnect" must be a UUID' });
  const cells = (field: string, fallback: number): number => {
    const text = query.get(field) ?? "";
    if (text === "") return fallback;
    if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
    problems.push({ field, detail: `Query param "${field}" must be between 0 and 65535` });
    return fallback;
  };
  const text = (field: string): string => {
    const value = query.get(field) ?? "";
    if (value.length <= MAX_COMMAND_LENGTH) return value;
    problems.push({ field, detail: `Query param "${field}" is longer than ${MAX_COMMAND_LENGTH} characters` });
    return "";
  };
  const init: Init = {
    ID: id,
    Height: cells("height", 24),
    Width: cells("width", 80),
    Command: text("command"),
    Container: text("container"),
    ContainerUser: text("container_user"),
    BackendType: text("backend_type"),
    User: userId,
  };
  if (problems.length > 0)
    throw new DomainError("invalid", "Query parameters have invalid values.", { validations: problems });
  return init;
}
