import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { BUILD_VERSION_HEADER } from "coder-protocol/rest/common";
import { type WebSocket, WebSocketServer } from "ws";
import type { OpenStreams } from "./open-streams.ts";
import type { PlaceHolder, Places } from "./places.ts";
import { BUILD_VERSION } from "./version.ts";

/** Close codes we send (RFC 6455 §7.4.1). */
export const CLOSE_NORMAL = 1000;
export const CLOSE_GOING_AWAY = 1001;
export const CLOSE_PROTOCOL_ERROR = 1002;
/** Access was taken away while the socket was open. */
export const CLOSE_POLICY = 1008;

/** Unsent bytes at which a slow reader is disconnected. */
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;
/**
 * Default maximum length of a client's message, in bytes; most clients send nothing but an echo. Every unfinished message is held
 * in memory.
 */
const MAX_MESSAGE_BYTES = 1024;

/**
 * WebSockets for text messages: sends pings, and limits how many sockets there are, how far behind each may be, and what a client
 * may send.
 */
export class TextSockets {
  readonly #server: WebSocketServer;
  readonly #places: Places;
  readonly #heartbeatMs: number;
  readonly #streams: OpenStreams;
  #openCount = 0;

  constructor(options: {
    readonly places: Places;
    readonly heartbeatMs: number;
    readonly streams: OpenStreams;
    /** Maximum length of a client's message, in bytes. */
    readonly maxMessageBytes?: number;
  }) {
    const maxPayload = options.maxMessageBytes ?? MAX_MESSAGE_BYTES;
    this.#server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload });
    this.#places = options.places;
    this.#heartbeatMs = options.heartbeatMs;
    this.#streams = options.streams;
    this.#server.on("headers", (headers) => headers.push(`${BUILD_VERSION_HEADER}: ${BUILD_VERSION}`));
  }

  get openCount(): number {
    return this.#openCount;
  }

  /**
   * Completes the upgrade. Throws DomainError if there are too many. Resolves to undefined if the socket is closed, for example
   * after a failed handshake.
   */
  async accept(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    holder: PlaceHolder,
  ): Promise<TextSocket | undefined> {
    if (socket.destroyed) return undefined;
    const leave = this.#places.take(holder);
    return await new Promise((resolve) => {
      const gone = (): void => {
        leave();
        resolve(undefined);
      };
      socket.once("close", gone);
      // ws itself answers a malformed handshake and then never calls back; the socket closes.
      this.#server.handleUpgrade(request, socket, head, (webSocket) => {
        socket.removeListener("close", gone);
        const text = new TextSocket(webSocket, this.#heartbeatMs);
        this.#openCount++;
        const leaveStreams = this.#streams.add({
          end: () => text.close(CLOSE_GOING_AWAY, "server is shutting down"),
          destroy: () => text.terminate(),
        });
        text.onClose(() => {
          this.#openCount--;
          leaveStreams();
          leave();
        });
        resolve(text);
      });
    });
  }
}

/** One WebSocket on which texts are sent. It closes when the client stops answering pings or stops reading. */
export class TextSocket {
  readonly #socket: WebSocket;
  readonly #timer: NodeJS.Timeout;
  readonly #closeListeners: (() => void)[] = [];
  #answered = true;
  #closed = false;

  constructor(socket: WebSocket, heartbeatMs: number) {
    this.#socket = socket;
    this.#timer = setInterval(() => this.#ping(), heartbeatMs);
    this.#timer.unref();
    socket.on("pong", () => {
      this.#answered = true;
    });
    // After a protocol violation by the client, ws closes the socket itself and "close" follows.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#closed = true;
      clearInterval(this.#timer);
      for (const listener of this.#closeListeners) listener();
    });
  }

  /** Runs the listener once the socket is gone; at once if it already is. */
  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#closeListeners.push(listener);
  }

  onMessage(listener: (text: string) => void): void {
    this.#socket.on("message", (data) => listener(String(data)));
  }

  /**
   * Does nothing on a closed socket; disconnects a reader that is too far behind. `written` is called when the system has taken
   * the message or sending has failed.
   */
  send(message: string | Uint8Array, written?: () => void): void {
    if (this.#closed) return;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) this.terminate();
    else this.#socket.send(message, written);
  }

  /** Bytes that are not yet sent to the client. */
  get unsentBytes(): number {
    return this.#socket.bufferedAmount;
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #ping(): void {
    if (!this.#answered) {
      this.terminate();
      return;
    }
    this.#answered = false;
    this.#socket.ping();
  }
}
