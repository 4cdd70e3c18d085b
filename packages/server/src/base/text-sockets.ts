import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { BUILD_VERSION_HEADER } from "coder-protocol/rest/common";
import { type WebSocket, WebSocketServer } from "ws";
import { rejectUpgrade } from "../http/reply.ts";
import { HttpFailure } from "./errors.ts";
import type { PlaceHolder, Places } from "./places.ts";
import { BUILD_VERSION } from "./version.ts";

/** Close codes we send (RFC 6455 §7.4.1). */
export const CLOSE_NORMAL = 1000;
export const CLOSE_GOING_AWAY = 1001;
export const CLOSE_PROTOCOL_ERROR = 1002;
/** Access was taken away while the socket was open. */
export const CLOSE_POLICY = 1008;

/** Bytes a slow reader may leave unsent before it is cut off. */
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;
/** What clients may send on sockets that only we write to: an echo, or nothing. Every unfinished message waits in memory. */
const MAX_MESSAGE_BYTES = 1024;

/** The WebSockets that only we write to: pings, a bound on how many and how far behind. */
export class TextSockets {
  readonly #server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES });
  readonly #open = new Set<TextSocket>();
  readonly #places: Places;
  readonly #heartbeatMs: number;

  constructor(options: { readonly places: Places; readonly heartbeatMs: number }) {
    this.#places = options.places;
    this.#heartbeatMs = options.heartbeatMs;
    this.#server.on("headers", (headers) => headers.push(`${BUILD_VERSION_HEADER}: ${BUILD_VERSION}`));
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Completes the upgrade. Undefined when it was refused; the socket is then dealt with. */
  async accept(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    holder: PlaceHolder,
  ): Promise<TextSocket | undefined> {
    let leave: () => void;
    try {
      leave = this.#places.take(holder);
    } catch (error) {
      if (!(error instanceof HttpFailure)) throw error;
      rejectUpgrade(socket, error);
      return undefined;
    }
    return await new Promise((resolve) => {
      const gone = (): void => {
        leave();
        resolve(undefined);
      };
      socket.once("close", gone);
      // ws answers a malformed handshake itself and then never calls back; the socket closes.
      this.#server.handleUpgrade(request, socket, head, (webSocket) => {
        socket.removeListener("close", gone);
        const text = new TextSocket(webSocket, this.#heartbeatMs, () => {
          this.#open.delete(text);
          leave();
        });
        this.#open.add(text);
        resolve(text);
      });
    });
  }

  closeAll(): void {
    for (const socket of [...this.#open]) socket.close(CLOSE_GOING_AWAY, "server is shutting down");
  }

  /** For sockets that did not answer closeAll. */
  terminateAll(): void {
    for (const socket of [...this.#open]) socket.terminate();
  }
}

/** One WebSocket we send texts on. Ends itself when the client stops answering pings or stops reading. */
export class TextSocket {
  readonly #socket: WebSocket;
  readonly #timer: NodeJS.Timeout;
  readonly #closeListeners: (() => void)[] = [];
  #answered = true;
  #closed = false;

  constructor(socket: WebSocket, heartbeatMs: number, onClosed: () => void) {
    this.#socket = socket;
    this.#timer = setInterval(() => this.#ping(), heartbeatMs);
    this.#timer.unref();
    socket.on("pong", () => {
      this.#answered = true;
    });
    // A protocol violation by the client: ws closes the socket itself, "close" follows.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#closed = true;
      clearInterval(this.#timer);
      onClosed();
      for (const listener of this.#closeListeners) listener();
    });
  }

  /** Runs once when the socket is gone, at once if it already is. */
  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#closeListeners.push(listener);
  }

  onMessage(listener: (text: string) => void): void {
    this.#socket.on("message", (data) => listener(String(data)));
  }

  /** Does nothing on a closed socket; cuts off a reader that is too far behind. */
  send(message: string | Uint8Array): void {
    if (this.#closed) return;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) this.terminate();
    else this.#socket.send(message);
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
