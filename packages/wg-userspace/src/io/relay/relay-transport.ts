/** What carries DERP bytes once a relay was dialled: the upgraded stream itself, or WebSocket messages on it. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocket } from "ws";
import { abortable } from "../../async/abort.ts";
import { EngineError } from "../../base/errors.ts";
import { toEngineError } from "../host/node-errors.ts";
import { type RequestOptions, requestHead } from "./relay-upgrade.ts";

export interface TransportEvents {
  /** Borrowed. */
  onBytes(chunk: Uint8Array): void;
  onDrain(): void;
  /** Called once. Undefined for an orderly end. */
  onClosed(error: Error | undefined): void;
}

export interface RelayTransport {
  readonly kind: "raw" | "websocket";
  /** Begins delivery; nothing is delivered before. */
  start(events: TransportEvents): void;
  /** `done` is called when the chunk is no longer needed. Returns false if no more should be written until onDrain. */
  write(chunk: Uint8Array, done: () => void): boolean;
  /** Closes at once. onClosed is not called afterwards. */
  destroy(): void;
}

/** The relay, or something before it, answered the raw upgrade with this status. */
export class UpgradeRefused extends EngineError {
  readonly status: number;
  constructor(status: number, context: string, reason: string, server: string | undefined) {
    const words = reason === "" ? `HTTP ${status}` : `HTTP ${status} ${reason}`;
    const from = server === undefined ? "" : ` by "${server.replace(/[^\x20-\x7e]/g, "").slice(0, MAX_SERVER_CHARS)}"`;
    const why = status === UPGRADE_REQUIRED ? ': something on the way removes the "Upgrade" header' : "";
    super("ERR_RELAY_REFUSED", `${context}: refused with ${words}${from}${why}`, { retryable: true });
    this.status = status;
  }
}

const DERP_PATH = "/derp";
const UPGRADE_REQUIRED = 426;
const MAX_SERVER_CHARS = 40;
/** Longer messages are cut: relays of Tailscale's own code close a connection on a message above 32 KiB. */
const MAX_MESSAGE_BYTES = 32 * 1024;
/** Relays send everything that gathered in one turn, which may be many frames. */
const MAX_RECEIVED_MESSAGE_BYTES = 4 << 20;

export async function openRawTransport(stream: Duplex, request: Omit<RequestOptions, "path">): Promise<RelayTransport> {
  const headers = { ...request.headers, Upgrade: "DERP", Connection: "Upgrade" };
  const head = await requestHead(stream, { ...request, path: DERP_PATH, headers });
  if (head.status !== 101)
    throw new UpgradeRefused(head.status, request.context, head.reason, head.headers.get("server"));
  if (head.headers.get("upgrade")?.toLowerCase() !== "derp")
    throw new EngineError("ERR_RELAY_PROTOCOL", `${request.context}: upgraded to something else than DERP`, {
      retryable: true,
    });
  return new RawTransport(stream, head.rest);
}

class RawTransport implements RelayTransport {
  readonly kind = "raw";
  readonly #stream: Duplex;
  #rest: Uint8Array | undefined;
  #closed = false;

  constructor(stream: Duplex, rest: Uint8Array) {
    this.#stream = stream;
    this.#rest = rest.length > 0 ? rest : undefined;
  }

  start(events: TransportEvents): void {
    const stream = this.#stream;
    const ended = (error: Error | undefined): void => {
      if (this.#closed) return;
      this.#closed = true;
      stream.destroy();
      events.onClosed(error);
    };
    stream.on("error", ended);
    stream.on("end", () => ended(undefined));
    stream.on("close", () => ended(undefined));
    stream.on("drain", () => events.onDrain());
    if (this.#rest !== undefined) events.onBytes(this.#rest);
    this.#rest = undefined;
    if (this.#closed) return;
    stream.on("data", (chunk: Uint8Array) => {
      if (!this.#closed) events.onBytes(chunk);
    });
    stream.resume();
  }

  write(chunk: Uint8Array, done: () => void): boolean {
    return this.#stream.write(chunk, () => done());
  }

  destroy(): void {
    this.#closed = true;
    this.#stream.on("error", () => undefined); // no longer of interest
    this.#stream.destroy();
  }
}

/** @param url `ws://host[:port]`; the stream is already encrypted where it has to be. */
export async function openWebSocketTransport(
  stream: Duplex,
  request: Omit<RequestOptions, "path">,
): Promise<RelayTransport> {
  const { context, signal } = request;
  signal.throwIfAborted();
  const socket = new WebSocket(`ws://relay.invalid${DERP_PATH}`, ["derp"], {
    createConnection: () => stream,
    headers: { ...request.headers, Host: request.host },
    perMessageDeflate: false,
    maxPayload: MAX_RECEIVED_MESSAGE_BYTES,
    followRedirects: false,
  });
  try {
    await abortable<void>(signal, (resolve, reject) => {
      socket.on("open", () => {
        socket.pause();
        resolve();
      });
      socket.on("error", (error) => reject(toEngineError(error, context)));
      socket.on("unexpected-response", (_request, response: IncomingMessage) =>
        reject(
          new UpgradeRefused(
            response.statusCode ?? 0,
            context,
            response.statusMessage ?? "",
            [response.headers["server"]].flat()[0],
          ),
        ),
      );
      return () => {
        socket.removeAllListeners();
        socket.on("error", () => undefined); // a late error of a finished attempt
      };
    });
  } catch (error) {
    socket.terminate();
    throw error;
  }
  return new WebSocketTransport(socket, stream);
}

const CLOSE_NORMAL = 1000;
const CLOSE_GOING_AWAY = 1001;
const CLOSE_UNSUPPORTED = 1003;

class WebSocketTransport implements RelayTransport {
  readonly kind = "websocket";
  readonly #socket: WebSocket;
  readonly #stream: Duplex;
  #closed = false;

  constructor(socket: WebSocket, stream: Duplex) {
    this.#socket = socket;
    this.#stream = stream;
  }

  start(events: TransportEvents): void {
    const socket = this.#socket;
    const ended = (error: Error | undefined): void => {
      if (this.#closed) return;
      this.#closed = true;
      socket.terminate();
      events.onClosed(error);
    };
    socket.on("message", (data: Buffer, isBinary: boolean) => {
      if (this.#closed) return;
      if (isBinary) events.onBytes(data);
      else {
        socket.close(CLOSE_UNSUPPORTED);
        ended(new EngineError("ERR_RELAY_PROTOCOL", "the relay sent a text message", { retryable: true }));
      }
    });
    socket.on("error", ended);
    socket.on("close", (code: number) => {
      const orderly = code === CLOSE_NORMAL || code === CLOSE_GOING_AWAY;
      ended(
        orderly ? undefined : new EngineError("ERR_RELAY_GONE", `WebSocket closed with ${code}`, { retryable: true }),
      );
    });
    this.#stream.on("drain", () => {
      if (!this.#closed) events.onDrain();
    });
    socket.resume();
  }

  write(chunk: Uint8Array, done: () => void): boolean {
    for (let at = 0; at < chunk.length; at += MAX_MESSAGE_BYTES) {
      const last = at + MAX_MESSAGE_BYTES >= chunk.length;
      // The bytes are copied while they are masked, but only the callback shows that the message has left.
      this.#socket.send(chunk.subarray(at, at + MAX_MESSAGE_BYTES), { binary: true }, () => {
        if (last) done();
      });
    }
    return !this.#stream.writableNeedDrain;
  }

  destroy(): void {
    this.#closed = true;
    this.#socket.close(CLOSE_NORMAL);
    this.#socket.terminate();
  }
}
